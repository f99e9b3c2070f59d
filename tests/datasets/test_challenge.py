"""Tests of load_challenge, on small records in the layout of several sources."""

import numpy as np
import pytest
import scipy.io

from sklearn_bell.datasets import load_challenge, read_wfdb
from sklearn_bell.exceptions import InvalidECGError, RecordWarning

TWELVE = ["I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6"]


def digital(seed, n_samples):
    return np.random.default_rng(seed).integers(-3000, 3000, (12, n_samples)).astype(np.int16)


def write(folder, name, *, seed, rate=500, seconds=10, comments, date="", fields="16+24 1000/mV"):
    """Write a record as the Challenge does: a MATLAB file, whose first 24 bytes are skipped."""
    folder.mkdir(parents=True, exist_ok=True)
    values = digital(seed, seconds * rate)
    scipy.io.savemat(folder / f"{name}.mat", {"val": values}, format="4")
    checksums = values.sum(axis=1, dtype=np.int64).astype(np.int16)
    lines = [f"{name} 12 {rate} {seconds * rate} {date}"]
    lines += [
        f"{name}.mat {fields} 16 0 {row[0]} {checksum} 0 {lead}"
        for lead, row, checksum in zip(TWELVE, values, checksums, strict=True)
    ]
    (folder / f"{name}.hea").write_text("\n".join([*lines, *comments, ""]))


def make_folder(home):
    """Write three sources, one of the Challenge 2020 and two of 2021."""
    folder = home / "challenge-2021" / "training"
    write(
        folder / "cpsc_2018" / "g1", "A0002", seed=0, seconds=12, date="12-Feb-2020 17:05:50",
        comments=["#Age: 74", "#Sex: Male", "#Dx: 164909002,17338001", "#Rx: Unknown"],
    )  # fmt: skip
    write(
        folder / "georgia" / "g1", "E00001", seed=1, seconds=5, date="05-May-2020 14:50:55",
        comments=["# Age: 68", "# Sex: Female", "# Dx: 733534002, 427172004,55827005"],
    )  # fmt: skip
    write(
        folder / "chapman_shaoxing", "JS00001", seed=2, fields="16x1+24 1000.0(0)/mV",
        comments=["# Age: 85", "# Dx: 164889003,59118001,6374002"],
    )  # fmt: skip
    write(folder / "chapman_shaoxing", "JS00002", seed=3, comments=["# Dx: 55827005"])
    return folder


@pytest.fixture
def folder(tmp_path):
    return make_folder(tmp_path / "home")


def labels_of(bunch):
    return [sorted(bunch.target_names[row == 1].tolist()) for row in bunch.target]


def test_load_challenge_reads_all_sources(folder):
    with pytest.warns(RecordWarning) as seen:
        bunch = load_challenge(folder)
    assert "no label of the task 'challenge2021'" in str(seen[0].message)
    assert "georgia/g1/E00001" in str(seen[1].message)  # shorter than 10 s
    assert seen[0].filename == seen[1].filename == __file__
    names = ["chapman_shaoxing/JS00001", "cpsc_2018/g1/A0002", "georgia/g1/E00001"]
    assert bunch.record_names.tolist() == names
    for record, seed, seconds in zip(bunch.data, (2, 0, 1), (10, 10, 5), strict=True):
        n_samples = 500 * seconds
        expected = digital(seed, 12 * 500 if seed == 0 else n_samples)[:, :n_samples] / 1000
        np.testing.assert_allclose(record[:, :n_samples], expected, atol=1e-6)
        assert not record[:, n_samples:].any()
    assert (bunch.lead_names, bunch.sampling_rate, bunch.units) == (TWELVE, 500, "mV")
    assert bunch.padded == ["georgia/g1/E00001"]
    assert list(bunch.skipped) == ["chapman_shaoxing/JS00002"]
    assert len(set(bunch.groups)) == 3


def test_synonymous_codes_are_one_class(folder):
    with pytest.warns(RecordWarning):
        bunch = load_challenge(folder)
    # complete and other left bundle branch blocks count as one, as do ventricular beats
    assert labels_of(bunch) == [["AF", "BBB", "CRBBB|RBBB"], *2 * [["CLBBB|LBBB", "PVC|VPB"]]]
    assert len(bunch.target_names) == 26
    assert bunch.target_names.tolist() == sorted(bunch.target_names)


def test_task_challenge2020_has_24_classes(folder):
    with pytest.warns(RecordWarning):
        bunch = load_challenge(folder, task="challenge2020")
    # neither the complete left bundle branch block nor BBB was scored
    assert labels_of(bunch) == [["AF", "CRBBB|RBBB"], ["LBBB", "PVC|VPB"], ["PVC|VPB"]]
    assert len(bunch.target_names) == 24


def test_task_all_has_class_per_code(folder):
    with pytest.warns(RecordWarning, match="padded"):
        bunch = load_challenge(folder, task="all")
    assert labels_of(bunch) == [
        ["164889003", "59118001", "6374002"],
        ["55827005"],
        ["164909002", "17338001"],
        ["427172004", "55827005", "733534002"],
    ]
    assert bunch.skipped == {}


def test_metadata_holds_comments(folder):
    with pytest.warns(RecordWarning, match="padded"):
        bunch = load_challenge(folder, unlabelled=True)
    assert bunch.metadata.index.tolist() == bunch.record_names.tolist()
    assert bunch.metadata["Age"].tolist() == ["85", "", "74", "68"]
    assert bunch.metadata["Sex"].tolist() == ["", "", "Male", "Female"]
    assert bunch.metadata["Dx"].tolist()[0] == "164889003,59118001,6374002"
    assert not bunch.target[1].any()


def test_load_challenge_agrees_with_read_wfdb(folder, tmp_path):
    out = tmp_path / "chapman.npy"
    source = folder / "chapman_shaoxing"
    options = {"sampling_rate": 100, "leads": ["V6", "ii"]}
    bunch = load_challenge(source, unlabelled=True, out=out, **options)
    expected = read_wfdb([source / "JS00001", source / "JS00002"], **options)
    np.testing.assert_array_equal(bunch.data, expected.data)
    assert bunch.lead_names == ["V6", "II"]
    assert isinstance(bunch.data, np.memmap)
    X, y = load_challenge(source, unlabelled=True, return_X_y=True, **options)
    np.testing.assert_array_equal(X, bunch.data)
    np.testing.assert_array_equal(y, bunch.target)


def test_different_lengths_need_duration(folder):
    with pytest.raises(InvalidECGError, match=r"Record cpsc_2018/g1/A0002: .*duration="):
        load_challenge(folder, duration=None, unlabelled=True)


@pytest.mark.parametrize("broken", ["header", "signal"])
def test_broken_record_raises_or_is_skipped(folder, broken):
    source = folder / "chapman_shaoxing"
    if broken == "header":
        (source / "JS00001.hea").write_text("#\n" * 2**20)
    else:
        (source / "JS00001.mat").write_bytes(b"1")
    with pytest.raises(InvalidECGError, match="Record JS00001: its "):
        load_challenge(source, unlabelled=True)
    with pytest.warns(RecordWarning, match="JS00001"):
        bunch = load_challenge(source, unlabelled=True, on_error="skip")
    assert bunch.record_names.tolist() == bunch.metadata.index.tolist() == ["JS00002"]
    assert list(bunch.skipped) == ["JS00001"]
    assert len(bunch.data) == len(bunch.target) == len(bunch.groups) == 1


def test_corrupt_sample_raises_unless_unverified(folder):
    file = folder / "chapman_shaoxing" / "JS00001.mat"
    content = bytearray(file.read_bytes())
    content[1000] ^= 1
    file.write_bytes(content)
    with pytest.raises(InvalidECGError, match=r"Record JS00001: .*checksum"):
        load_challenge(file.parent, unlabelled=True)
    assert len(load_challenge(file.parent, unlabelled=True, verify=False).data) == 2


def test_folder_without_records_raises(tmp_path):
    with pytest.raises(InvalidECGError, match=r"no record .*\.hea"):
        load_challenge(tmp_path)


def test_header_link_needs_allow_links(folder, tmp_path):
    source = folder / "chapman_shaoxing"
    header = tmp_path / "elsewhere.hea"
    (source / "JS00001.hea").rename(header)
    (source / "JS00001.hea").symlink_to(header)
    with pytest.raises(InvalidECGError, match=r"Record JS00001: .*link out of"):
        load_challenge(source, unlabelled=True)
    assert len(load_challenge(source, unlabelled=True, allow_links=True).data) == 2


def test_unreadable_header_is_not_unlabelled(folder):
    source = folder / "georgia"
    write(source / "g1", "E00002", seed=4, seconds=5, comments=["# Dx: 55827005"])
    (source / "g1" / "E00001.hea").write_text("#\n" * 2**20)
    with (
        pytest.warns(RecordWarning, match="E00002"),
        pytest.raises(InvalidECGError, match=r"g1/E00001: its header is larger"),
    ):
        load_challenge(source, duration=5)


def test_sources_select_folders(folder):
    bunch = load_challenge(folder, sources=["georgia"], duration=5)
    assert bunch.record_names.tolist() == ["georgia/g1/E00001"]
    with pytest.raises(FileNotFoundError, match=r"no folder .*ptb\..*fetch_chapman"):
        load_challenge(folder, sources=["georgia", "ptb"])


@pytest.mark.parametrize(
    "comments",
    [
        ["#Dx: 164889003,426783006"],
        ["# dx: 426783006", "# DX: 164889003"],
        ["#Dx: 426783006;164889003 | 426783006"],
        ["#Dx:426783006/164889003,"],
        ["#Dx: [426783006, 164889003]"],
        ['#Dx: "426783006.0" 164889003.0'],
        ["#Dx=426783006+164889003"],
        ["#Dx 426783006 164889003"],
    ],
)
def test_codes_are_found_however_they_are_written(tmp_path, comments):
    write(tmp_path, "A1", seed=0, comments=["# age: 71", *comments])
    bunch = load_challenge(tmp_path)
    assert labels_of(bunch) == [["AF", "NSR"]]
    assert bunch.metadata["Age"].tolist() == ["71"]


def test_text_in_place_of_codes_warns(tmp_path):
    write(tmp_path, "A1", seed=0, comments=["#Dx: 426783006, sinus rhythm"])
    write(tmp_path, "A2", seed=1, comments=["#Dx: 426783006"])
    write(tmp_path, "A3", seed=2, comments=["#Dx: Unknown"])
    with pytest.warns(RecordWarning, match=r"^1 records have text .* A1 \(sinus rhythm\)\."):
        bunch = load_challenge(tmp_path, unlabelled=True)
    assert labels_of(bunch) == [["NSR"], ["NSR"], []]
