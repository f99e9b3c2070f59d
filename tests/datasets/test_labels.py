"""Reader of labels."""

import numpy as np
import pytest

from sklearn_bell import BELLPretrainer, ECGClassifier
from sklearn_bell.datasets import make_ecg, read_labels
from sklearn_bell.exceptions import InvalidECGError

RECORDS = ["ecgs/0001", "ecgs/0002", "ecgs/0010", "ecgs/0011"]


def write(folder, text, encoding="utf-8"):
    path = folder / "labels.csv"
    path.write_bytes(text.encode(encoding))
    return path


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "latin-1"])
def test_separators_and_encodings_are_found(tmp_path, delimiter, encoding):
    lines = ["record,diagnosis", "0001,Müller", "0010,normal"]
    path = write(tmp_path, "\r\n".join(lines).replace(",", delimiter), encoding)
    y = read_labels(path, RECORDS, verbose=False)
    assert y.tolist() == ["Müller", None, "normal", None]


@pytest.mark.parametrize(
    "name",
    [
        "ecgs/0001",
        "0001",
        "1",
        "0001.hea",
        "data\\ecgs\\0001.xml",
        "1.0",
        " 0001 ",
        "./ecgs/0001",
        "'1'",
    ],
)
def test_names_match_without_path_extension_zeros_and_blanks(tmp_path, name):
    path = write(tmp_path, f"record,diagnosis\n{name}, AF \n")
    assert read_labels(path, RECORDS, verbose=False).tolist() == ["AF", None, None, None]


def test_counts_are_printed(tmp_path, capsys):
    path = write(tmp_path, "record,diagnosis\n1,AF\n2,\n10,normal\n77,AF\n78,AF\n79,normal\n")
    read_labels(path, RECORDS)
    printed = capsys.readouterr().out
    assert printed == "2 of 4 records labelled; 3 labels without a record: 77, 78, 79\n"


@pytest.mark.parametrize("missing", ["", "NA", "nan", "None", "?"])
def test_missing_labels_are_none(tmp_path, missing):
    path = write(tmp_path, f"record,diagnosis\n1,AF\n2,{missing}\n10,normal\n")
    assert read_labels(path, RECORDS, verbose=False).tolist() == ["AF", None, "normal", None]


def test_numbers_stay_numbers(tmp_path):
    path = write(tmp_path, "record,class\n1,0\n2,1\n10,2\n")
    y = read_labels(path, RECORDS, verbose=False)
    assert y.tolist() == [0, 1, 2, None]
    assert isinstance(y[0], int)


def test_several_columns_are_an_indicator(tmp_path):
    path = write(tmp_path, "file,AF,LBBB,age\n1,1,0,60\n2,0,1,70\n10,,1,80\n")
    y = read_labels(path, RECORDS, label=["LBBB", "AF"], verbose=False)
    np.testing.assert_array_equal(y, [[0, 1], [1, 0], [-1, -1], [-1, -1]])


def test_columns_are_chosen_by_name(tmp_path):
    path = write(tmp_path, "patient,diagnosis,file\nA,AF,1\nB,normal,2\n")
    y = read_labels(path, RECORDS, record="file", label="diagnosis", verbose=False)
    assert y.tolist() == ["AF", "normal", None, None]


def test_folders_decide_between_equal_names(tmp_path):
    path = write(tmp_path, "record,diagnosis\na/1,AF\nb/1,normal\n")
    assert read_labels(path, ["b/1", "a/1"], verbose=False).tolist() == ["normal", "AF"]


@pytest.mark.parametrize(
    ("text", "options", "message"),
    [
        ("record,diagnosis\n0001,AF\n0001,normal\n", {}, "different labels of record ecgs/0001"),
        ("record,diagnosis\n77,AF\n", {}, "No label .*names 77.*ecgs/0001"),
        ("record,a,b\n1,AF,0\n", {}, "must be 0 or 1, got 'AF'"),
        ("record,a\n1,AF\n", {"label": "b"}, "not 'b'"),
        ("record\n1\n", {}, "expected a column of records"),
        ("", {}, "is not a table|needs a header"),
        ("record,a\n", {}, "lines after it"),
        ("record,a\n1,AF,x\n", {}, "more fields than its header"),
        ("0001,AF\n0002,normal\n", {}, "first line names the record 0001"),
        ('record,a\n1,"AF\n2,normal\n3,AF"\n', {}, "Is a quote not closed"),
        ("record,a\n1,AF\0\n", {}, "Is a quote not closed"),
    ],
)
def test_bad_tables_raise(tmp_path, text, options, message):
    with pytest.raises(InvalidECGError, match=message):
        read_labels(write(tmp_path, text), RECORDS, **options)


def test_name_of_several_records_raises(tmp_path):
    path = write(tmp_path, "record,diagnosis\n1,AF\n")
    with pytest.raises(InvalidECGError, match="name 1 fits 2 records, such as a/1 and b/1"):
        read_labels(path, ["a/1", "b/1"])


@pytest.mark.parametrize(
    ("names", "lines", "expected"),
    [
        (["p1.first", "p1.next"], ["p1.next,AF"], [None, "AF"]),
        (["p1.first", "p2"], ["p1.next,AF", "p2,N"], [None, "N"]),
        (["A/1", "A/2"], ["B/1,AF", "A/2,N"], [None, "N"]),
        (["test/1", "test/2"], ["train/1,AF", "test/1,N"], ["N", None]),
        (["1", "001"], ["1,AF", "001,N"], ["AF", "N"]),
        (["001"], ["1,AF", "001,N"], ["N"]),
        (["a.xml", "a.dcm"], ["a.dcm,AF"], [None, "AF"]),
        (["a", "a", "b"], ["a,AF", "b,N"], ["AF", "AF", "N"]),  # windows
    ],
)
def test_names_of_other_records_do_not_match(tmp_path, names, lines, expected):
    path = write(tmp_path, "\n".join(["record,diagnosis", *lines]))
    assert read_labels(path, names, verbose=False).tolist() == expected


@pytest.mark.parametrize("index", ["", "index", "Unnamed: 0"])
@pytest.mark.parametrize("options", [{}, {"label": "diagnosis"}])
def test_index_of_pandas_is_no_name(tmp_path, index, options):
    path = write(tmp_path, f"{index},record,diagnosis,\n1,0010,AF,\n2,0001,normal,\n")
    y = read_labels(path, RECORDS, verbose=False, **options)
    assert y.tolist() == ["normal", None, "AF", None]


@pytest.mark.parametrize("text", ["sep=;\nrecord;class\n1;001\n", "record\tclass\n1\t001\n"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_tables_of_excel_are_read(tmp_path, text, encoding):
    y = read_labels(write(tmp_path, text, encoding), RECORDS, verbose=False)
    assert y.tolist() == ["001", None, None, None]


def test_yes_and_no_are_an_indicator(tmp_path):
    path = write(tmp_path, "record,AF,LBBB\n1,TRUE,no\n2,false,Yes\n")
    assert read_labels(path, RECORDS[:2], verbose=False).tolist() == [[1, 0], [0, 1]]


def test_missing_label_does_not_contradict(tmp_path):
    path = write(tmp_path, "record,class\n1,AF\n1,\n2,\n2,N\n")
    assert read_labels(path, RECORDS[:2], verbose=False).tolist() == ["AF", "N"]


def test_equal_labels_of_one_record_are_one(tmp_path):
    path = write(tmp_path, "record,diagnosis\n1,AF\n0001,AF\n")
    assert read_labels(path, RECORDS, verbose=False)[0] == "AF"


def test_classifier_learns_from_them(tmp_path):
    ecg = make_ecg(12, classes=["normal", "lbbb"], leads=["II"], duration=2, random_state=0)
    names = [f"{i:03}" for i in range(12)]
    lines = [f"{i},{('normal', 'lbbb')[ecg.target[i]]}" for i in range(10)]
    y = read_labels(write(tmp_path, "\n".join(["record,class", *lines])), names, verbose=False)
    classifier = ECGClassifier(BELLPretrainer(max_epochs=0), max_epochs=1, n_trees=2)
    assert classifier.fit(ecg.data, y).classes_.tolist() == ["lbbb", "normal"]
