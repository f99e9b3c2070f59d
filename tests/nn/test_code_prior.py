import torch

from sklearn_bell.nn.code_prior import CodePrior


def test_loss_is_the_mean_surprise_of_each_code():
    torch.manual_seed(0)
    prior = CodePrior(n_codebooks=2, n_codes=5, n_classes=3, width=8)
    codes, classes = torch.randint(5, (4, 6, 2)), torch.eye(3)[[0, 1, 2, 0]]
    loss = prior((codes, classes), None)["loss"]
    surprise = []
    for record in range(4):
        hidden, before = None, prior.embedding.weight[-1]
        for position in range(6):
            state, hidden = prior.recurrent(
                (before + prior.classes(classes[record]))[None, None], hidden
            )
            state, before = state[0, 0], 0
            for number in range(2):
                code = codes[record, position, number]
                chances = prior.heads[number](state).softmax(0)
                surprise.append(-chances[code].log())
                embedded = prior.embedding.weight[number * 5 + code]
                state, before = state + embedded, before + embedded
    torch.testing.assert_close(loss, torch.stack(surprise).mean())


def test_a_trained_prior_draws_what_its_classes_have():
    torch.manual_seed(0)
    prior = CodePrior(n_codebooks=2, n_codes=4, n_classes=2, width=16)
    classes = torch.eye(2).repeat(16, 1)
    rising, falling = torch.arange(8) % 4, torch.arange(8).flip(0) % 4
    codes = torch.stack([torch.stack([one, one], -1) for one in (rising, falling)]).repeat(16, 1, 1)
    optimizer = torch.optim.Adam(prior.parameters(), lr=0.02)
    for _ in range(150):
        optimizer.zero_grad()
        loss = prior((codes, classes), None)["loss"]
        loss.backward()
        optimizer.step()
    drawn = prior.sample(classes, 8, 0.5, torch.Generator().manual_seed(0))
    assert (drawn == codes).float().mean() > 0.95
