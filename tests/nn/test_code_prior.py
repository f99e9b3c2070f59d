import torch

from sklearn_bell.nn.code_prior import CodePrior


def test_prior_loss_matches_slow_loop():
    torch.manual_seed(0)
    prior = CodePrior(n_codebooks=2, n_codes=5, n_classes=3, width=8)
    codes, classes = torch.randint(5, (4, 6, 2)), torch.eye(3)[[0, 1, 2, 0]]
    loss = prior((codes, classes), None)["loss"]
    losses = []
    for record in range(4):
        hidden, before = None, prior.embedding.weight[-1]
        for position in range(6):
            state, hidden = prior.recurrent(
                (before + prior.classes(classes[record]))[None, None], hidden
            )
            state, before = state[0, 0], 0
            for level in range(2):
                code = codes[record, position, level]
                losses.append(-prior.heads[level](state).softmax(0)[code].log())
                embedded = prior.embedding.weight[level * 5 + code]
                state, before = state + embedded, before + embedded
    torch.testing.assert_close(loss, torch.stack(losses).mean())


def test_prior_samples_sequences_of_class():
    torch.manual_seed(0)
    prior = CodePrior(n_codebooks=2, n_codes=4, n_classes=2, width=16)
    classes = torch.eye(2).repeat(16, 1)
    sequences = torch.stack([torch.arange(8) % 4, torch.arange(8).flip(0) % 4])
    codes = sequences[..., None].expand(-1, -1, 2).repeat(16, 1, 1)
    optimizer = torch.optim.Adam(prior.parameters(), lr=0.02)
    for _ in range(150):
        optimizer.zero_grad()
        prior((codes, classes), None)["loss"].backward()
        optimizer.step()
    samples = prior.sample(classes, 8, 0.5, torch.Generator().manual_seed(0))
    assert (samples == codes).float().mean() > 0.95
