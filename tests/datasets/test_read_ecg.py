"""Files of every format, written here by its published structure, and real exports."""

import base64
import copy
import datetime
import os
import re
import struct
from pathlib import Path

import numpy as np
import pytest
import wfdb

from sklearn_bell.datasets import _formats, read_csv, read_ecg, read_wfdb
from sklearn_bell.exceptions import InvalidECGError, RecordWarning

pytest.importorskip("ecgdatakit")

LEADS = ["I", "II", "V1", "V2", "V3", "V4", "V5", "V6"]
RATE = 250
COUNTS = np.random.default_rng(0).integers(-400, 400, (8, 500)).astype(np.int16)
MICROVOLTS = 4.88  # of a count


def encode(counts):
    return base64.b64encode(counts.astype("<i2").tobytes()).decode()


def write_muse(path, counts=COUNTS, units="MICROVOLTS", per_bit=MICROVOLTS, prologue=""):
    """Write a GE MUSE XML: a median and a rhythm waveform of 16 bits in Base64."""

    def waveform(kind, leads):
        data = "".join(
            f"<LeadData><LeadByteCountTotal>{2 * len(x)}</LeadByteCountTotal>"
            f"<LeadSampleCountTotal>{len(x)}</LeadSampleCountTotal>"
            f"<LeadAmplitudeUnitsPerBit>{per_bit}</LeadAmplitudeUnitsPerBit>"
            f"<LeadAmplitudeUnits>{units}</LeadAmplitudeUnits><LeadSampleSize>2</LeadSampleSize>"
            f"<LeadID>{name}</LeadID><WaveFormData>\n{encode(x)}\n</WaveFormData></LeadData>"
            for name, x in zip(LEADS, leads, strict=True)
        )
        return (
            f"<Waveform><WaveformType>{kind}</WaveformType><SampleBase>{RATE}</SampleBase>"
            f"<SampleExponent>0</SampleExponent>{data}</Waveform>"
        )

    text = (
        f'<?xml version="1.0" encoding="ISO-8859-1"?>\n{prologue}'
        "<RestingECG><MuseInfo><MuseVersion>9</MuseVersion></MuseInfo><PatientDemographics>"
        "<PatientLastName>M\xfcller</PatientLastName></PatientDemographics>"
        f"{waveform('Median', counts[:, :100] * 0)}{waveform('Rhythm', counts)}</RestingECG>"
    )
    path.write_bytes(text.encode("latin-1"))


def write_mortara(path):
    """Write a Mortara ELI XML: a channel of 16 bits in Base64 for each lead."""
    channels = "".join(
        f'<CHANNEL OFFSET="0" BITS="16" FORMAT="SIGNED" UNITS_PER_MV="{1000 / MICROVOLTS}" '
        f'DURATION="{len(x)}" SAMPLE_FREQ="{RATE}" NAME="{name}" ENCODING="BASE64" '
        f'DATA="{encode(x)}"/>'
        for name, x in zip(LEADS, COUNTS, strict=True)
    )
    path.write_text(f'<?xml version="1.0"?><ECG VERSION="1"><SUBJECT/>{channels}</ECG>')


def write_ishne(path):
    """Write an ISHNE Holter file: a header of 522 bytes, then 16 bits lead by lead in turns."""
    codes = {"I": 5, "II": 6} | {f"V{i}": 10 + i for i in range(1, 7)}
    header = bytearray(512)

    def put(offset, form, *values):
        struct.pack_into(f"<{form}", header, offset - 10, *values)

    put(10, "iiii", 0, COUNTS.shape[1], 522, 522)
    put(26, "h", 1)
    put(132, "9h", 1, 2, 1950, 3, 4, 2020, 3, 4, 2020)
    put(150, "3h", 10, 20, 30)
    put(156, "h", 8)
    put(158, "12h", *[codes[name] for name in LEADS], *[-9] * 4)
    put(182, "12h", *[1] * 8, *[-9] * 4)
    put(206, "12h", *[round(1000 * MICROVOLTS)] * 8, *[-9] * 4)  # nV
    put(230, "h", 0)
    put(272, "h", RATE)
    path.write_bytes(b"ISHNE1.0" + b"\0\0" + bytes(header) + COUNTS.T.astype("<i2").tobytes())


def write_edf(path, units="uV", rates=None):
    """Write an EDF file with pyedflib, whose header allows this scale."""
    import pyedflib

    top = 1000 * MICROVOLTS
    file = pyedflib.EdfWriter(str(path), 8, file_type=pyedflib.FILETYPE_EDF)
    file.setSignalHeaders(
        [
            {
                "label": f"ECG {name}", "dimension": units, "digital_max": 1000,
                "digital_min": -1000, "physical_max": top, "physical_min": -top,
                "transducer": "", "prefilter": "", "sample_frequency": rate,
            }
            for name, rate in zip(LEADS, rates or [RATE] * 8, strict=True)
        ]
    )  # fmt: skip
    file.setStartdatetime(datetime.datetime(2020, 1, 1))
    samples = [x[: 2 * rate] for x, rate in zip(COUNTS, rates or [RATE] * 8, strict=True)]
    file.writeSamples([np.ascontiguousarray(x, np.int32) for x in samples], digital=True)
    file.close()


def write_dicom(path, counts=COUNTS):
    """Write a DICOM file with one multiplex group of 16 bits."""
    import pydicom
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian, generate_uid

    channels = []
    for name in LEADS:
        source, channel = Dataset(), Dataset()
        source.CodeMeaning, source.CodingSchemeDesignator = f"Lead {name}", "MDC"
        source.CodeValue = f"MDC_ECG_LEAD_{name}"
        unit = Dataset()
        unit.CodeValue, unit.CodingSchemeDesignator, unit.CodeMeaning = "uV", "UCUM", "microvolt"
        channel.ChannelSourceSequence, channel.ChannelSensitivityUnitsSequence = [source], [unit]
        channel.ChannelSensitivity, channel.ChannelSensitivityCorrectionFactor = MICROVOLTS, 1
        channel.ChannelBaseline, channel.WaveformBitsStored = 0, 16
        channels.append(channel)
    group = Dataset()
    group.NumberOfWaveformChannels, group.NumberOfWaveformSamples = counts.shape
    group.SamplingFrequency, group.WaveformBitsAllocated = RATE, 16
    group.WaveformSampleInterpretation, group.WaveformOriginality = "SS", "ORIGINAL"
    group.ChannelDefinitionSequence = channels
    group.WaveformData = counts.T.astype("<i2").tobytes()
    record = Dataset()
    record.file_meta = FileMetaDataset()
    record.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    record.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.9.1.1"
    record.file_meta.MediaStorageSOPInstanceUID = record.SOPInstanceUID = generate_uid()
    record.SOPClassUID, record.Modality = record.file_meta.MediaStorageSOPClassUID, "ECG"
    record.PatientName, record.PatientID = "A^B", "1"
    record.WaveformSequence = [group]
    pydicom.dcmwrite(path, record, enforce_file_format=True)


def write_wfdb(folder, name):
    wfdb.wrsamp(
        name, fs=RATE, units=["mV"] * 8, sig_name=LEADS, fmt=["16"] * 8, write_dir=str(folder),
        p_signal=COUNTS.T * MICROVOLTS / 1000,
    )  # fmt: skip


WRITERS = {
    "GE MUSE XML": write_muse,
    "Mortara XML": write_mortara,
    "ISHNE": write_ishne,
    "EDF": write_edf,
    "DICOM": write_dicom,
}


@pytest.mark.parametrize("format_name", WRITERS)
@pytest.mark.parametrize("extension", ["", ".bin", ".xml"])
def test_written_file_is_read(tmp_path, format_name, extension):
    path = tmp_path / f"record{extension}"
    WRITERS[format_name](path)
    ecg = read_ecg(path)
    assert ecg.formats.tolist() == [format_name]
    assert (ecg.lead_names, ecg.sampling_rate, ecg.units) == (LEADS, RATE, "mV")
    np.testing.assert_allclose(ecg.data[0], COUNTS * MICROVOLTS / 1000, rtol=1e-3, atol=1e-5)
    assert ecg.record_names.tolist() == [str(path)]


@pytest.mark.parametrize("format_name", WRITERS)
def test_options_are_those_of_read_wfdb(tmp_path, format_name):
    WRITERS[format_name](tmp_path / "a")
    write_wfdb(tmp_path, "b")
    options = {"leads": ["III", "V6"], "sampling_rate": 100, "duration": 1.5}
    expected = read_wfdb([tmp_path / "b"], **options)
    ecg = read_ecg(tmp_path / "a", out=tmp_path / "out.npy", **options)
    np.testing.assert_allclose(ecg.data, expected.data, rtol=2e-3, atol=2e-4)
    assert ecg.derived_leads == expected.derived_leads == {"III": "II - I"}
    windows = read_ecg(tmp_path / "a", duration=0.5, step=0.25, n_jobs=2)
    assert windows.data.shape == (7, 8, 125)
    assert windows.start.tolist() == [0.25 * i for i in range(7)]


def test_document_type_without_entities_is_read(tmp_path):
    write_muse(tmp_path / "a.xml", prologue='<!DOCTYPE RestingECG SYSTEM "restecg.dtd">\n')
    assert read_ecg(tmp_path / "a.xml").data.shape == (1, 8, 500)


def test_other_units_are_converted(tmp_path):
    write_muse(tmp_path / "a.xml", units="MILLIVOLTS", per_bit=0.005)
    np.testing.assert_allclose(read_ecg(tmp_path / "a.xml").data[0], COUNTS * 0.005, rtol=1e-5)
    write_muse(tmp_path / "b.xml", units="PERCENT")
    with pytest.raises(InvalidECGError, match=r"lead I has no unit\. Expected a voltage"):
        read_ecg(tmp_path / "b.xml")
    write_edf(tmp_path / "c.edf", units="mmHg")
    with pytest.raises(InvalidECGError, match="lead ECG I has the unknown unit 'mmHg'"):
        read_ecg(tmp_path / "c.edf")


def edit_text(path, pattern, text, count=0):
    content = path.read_text("latin-1")
    changed = re.sub(pattern, text, content, count=count, flags=re.DOTALL)
    assert changed != content
    path.write_text(changed, "latin-1")


def test_second_waveform_of_muse_raises(tmp_path):
    write_muse(tmp_path / "a.xml")
    edit_text(tmp_path / "a.xml", r"(<Waveform><WaveformType>Rhythm.*</Waveform>)", r"\1\1")
    with pytest.raises(InvalidECGError, match="several waveforms, of which only the first"):
        read_ecg(tmp_path / "a.xml")


@pytest.mark.parametrize(
    ("originality", "is_read"),
    [
        (["ORIGINAL", "DERIVED"], True),
        (["ORIGINAL", "ORIGINAL"], False),
        (["DERIVED", "ORIGINAL"], False),
    ],
)
def test_second_group_of_dicom_raises_unless_derived(tmp_path, originality, is_read):
    import pydicom

    write_dicom(tmp_path / "a.dcm")
    file = pydicom.dcmread(tmp_path / "a.dcm")
    file.WaveformSequence.append(copy.deepcopy(file.WaveformSequence[0]))
    for group, word in zip(file.WaveformSequence, originality, strict=True):
        group.WaveformOriginality = word
    file.save_as(tmp_path / "a.dcm")
    if is_read:
        assert read_ecg(tmp_path / "a.dcm").data.shape == (1, 8, 500)
    else:
        with pytest.raises(InvalidECGError, match="several waveforms, of which only the first"):
            read_ecg(tmp_path / "a.dcm")


def test_offset_that_is_not_applied_warns(tmp_path):
    write_muse(tmp_path / "a.xml")
    offset = "<FirstSampleBaseline>100</FirstSampleBaseline><LeadSampleSize>"
    edit_text(tmp_path / "a.xml", "<LeadSampleSize>", offset)
    with pytest.warns(RecordWarning, match=r"1 of 1 records may be wrong: .*not applied"):
        read_ecg(tmp_path / "a.xml")


def test_repeated_lead_of_an_export_raises(tmp_path):
    write_muse(tmp_path / "a.xml")
    edit_text(tmp_path / "a.xml", "<LeadID>V6<", "<LeadID>V5<")
    with pytest.raises(InvalidECGError, match="more than one lead named v5"):
        read_ecg(tmp_path / "a.xml")


@pytest.mark.parametrize("write", [write_muse, write_dicom])
def test_least_value_of_16_bits_is_missing(tmp_path, write):
    counts = COUNTS.copy()
    counts[2, 100:110] = -(2**15)
    write(tmp_path / "a", counts=counts)
    with pytest.raises(InvalidECGError, match=r"10 samples that are not finite.*max_gap=0\.04"):
        read_ecg(tmp_path / "a")
    ecg = read_ecg(tmp_path / "a", max_gap=0.04)
    ends = COUNTS[2, [99, 110]] * MICROVOLTS / 1000
    np.testing.assert_allclose(ecg.data[0, 2, 99:111], np.linspace(*ends, 12), rtol=1e-3, atol=1e-5)


def test_leads_of_unequal_length_raise_or_are_skipped(tmp_path):
    write_muse(tmp_path / "a.xml")
    write_muse(tmp_path / "b.xml")
    short = encode(COUNTS[0, :400])
    edit_text(tmp_path / "b.xml", re.escape(encode(COUNTS[0])), short)
    edit_text(tmp_path / "b.xml", "(Rhythm.*?<LeadByteCountTotal>)1000", r"\g<1>800", count=1)
    edit_text(tmp_path / "b.xml", "(Rhythm.*?<LeadSampleCountTotal>)500", r"\g<1>400", count=1)
    with pytest.raises(InvalidECGError, match=r"differ in length \(400, 500 samples\)"):
        read_ecg(tmp_path / "b.xml")
    with pytest.warns(RecordWarning, match="differ in length"):
        assert len(read_ecg(tmp_path, on_error="skip").data) == 1
    assert read_ecg(tmp_path / "b.xml", leads=["II", "V1"]).data.shape == (1, 2, 500)


def test_signals_beside_the_leads_of_edf_are_left_out(tmp_path):
    import pyedflib

    file = pyedflib.EdfWriter(str(tmp_path / "a.edf"), 3)
    for channel, (name, unit, rate) in enumerate(
        [("ECG I", "mV", 250), ("Resp", "", 25), ("ECG II", "uV", 250)]
    ):
        limits = {"physical_max": 1, "physical_min": -1, "digital_max": 100, "digital_min": -100}
        file.setSignalHeader(
            channel,
            {"label": name, "dimension": unit, "sample_frequency": rate, "transducer": "",
             "prefilter": "", **limits},
        )  # fmt: skip
    file.writeSamples([np.zeros(500), np.zeros(50), np.ones(500)])
    file.close()
    ecg = read_ecg(tmp_path / "a.edf")
    assert (ecg.lead_names, ecg.left_out, ecg.data.shape) == (["I", "II"], ["Resp"], (1, 2, 500))
    with pytest.raises(InvalidECGError, match="Resp has the unknown unit"):
        read_ecg(tmp_path / "a.edf", rename={"ECG I": "x", "Resp": "I"}, leads=["I"])


def test_leads_of_several_rates_are_selected(tmp_path):
    write_edf(tmp_path / "a.edf", rates=[250] * 6 + [125] * 2)
    with pytest.raises(InvalidECGError, match=r"differ in sampling rate \(125, 250 Hz\)"):
        read_ecg(tmp_path / "a.edf")
    assert read_ecg(tmp_path / "a.edf", leads=["V5", "V6"]).sampling_rate == 125


BOMB = (
    '<!DOCTYPE RestingECG [<!ENTITY a "aaaaaaaaaa">'
    + "".join(
        f'<!ENTITY {b} "{f"&{a};" * 10}">' for a, b in zip("abcdefgh", "bcdefghi", strict=True)
    )
    + "]>\n"
)
OUTSIDE = '<!DOCTYPE RestingECG [<!ENTITY a SYSTEM "file:///etc/passwd">]>\n'


@pytest.mark.parametrize("prologue", [BOMB, OUTSIDE], ids=["bomb", "outside"])
def test_entities_raise(tmp_path, prologue):
    write_muse(tmp_path / "a.xml", prologue=prologue)
    with pytest.raises(InvalidECGError, match="GE MUSE XML, but cannot be decoded"):
        read_ecg(tmp_path / "a.xml")


@pytest.mark.parametrize("format_name", WRITERS)
def test_truncated_file_raises(tmp_path, format_name):
    path = tmp_path / "a"
    WRITERS[format_name](path)
    path.write_bytes(path.read_bytes()[:-1001])
    with pytest.raises(InvalidECGError, match=format_name):
        read_ecg(path)


def test_damaged_header_raises_where_it_has_a_checksum(tmp_path):
    write_ishne(tmp_path / "a")
    content = bytearray((tmp_path / "a").read_bytes())
    content[8:10] = b"\x01\x02"
    (tmp_path / "a").write_bytes(content)
    with pytest.raises(InvalidECGError, match=r"ISHNE, but it is damaged .*checksum.*verify=False"):
        read_ecg(tmp_path / "a")
    assert read_ecg(tmp_path / "a", verify=False).data.shape == (1, 8, 500)


def test_large_file_raises(tmp_path, monkeypatch):
    monkeypatch.setattr(_formats, "_MAX_BYTES", 1000)
    write_muse(tmp_path / "a.xml")
    with pytest.raises(InvalidECGError, match="at most 1000 bytes of GE MUSE XML"):
        read_ecg(tmp_path / "a.xml")


def test_missing_extra_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(_formats, "find_spec", lambda name: None)
    write_muse(tmp_path / "a.xml")
    with pytest.raises(
        InvalidECGError, match=r"is GE MUSE XML.*pip install sklearn_bell\[formats\]"
    ):
        read_ecg(tmp_path / "a.xml")


UNREAD = {
    b"\x89HDF\r\n\x1a\n" + b"\0" * 99: "HDF5",
    b"PK\x03\x04" + b"\0" * 99: "ZIP",
    b"%PDF-1.7 \0": "PDF",
    b"<?xml version='1.0'?><CardiologyXML></CardiologyXML>": "GE CardioSoft XML",
    b"<note/>": "XML",
    b"MATLAB 5.0 MAT-file\0": "MATLAB",
    b"\0\1\2\3": "no known format",
    b"": "an empty file",
}


@pytest.mark.parametrize(("content", "name"), UNREAD.items(), ids=UNREAD.values())
def test_format_that_is_not_read_is_named(tmp_path, content, name):
    (tmp_path / "a").write_bytes(content)
    with pytest.raises(InvalidECGError, match=name):
        read_ecg(tmp_path / "a")


def test_missing_file_raises(tmp_path):
    with pytest.raises(InvalidECGError, match="there is no such file"):
        read_ecg(tmp_path / "none.xml")
    with pytest.raises(InvalidECGError, match="No file matches the pattern"):
        read_ecg(tmp_path / "*.xml")


@pytest.fixture
def mixed(tmp_path):
    """Return a folder of records of all formats, and of other files."""
    folder = tmp_path / "exports"
    (folder / "ward").mkdir(parents=True)
    for name, write in WRITERS.items():
        write(folder / "ward" / name.replace(" ", "_"))
    write_wfdb(folder, "w")
    (folder / "table.csv").write_text("record,label\n1,2\n")
    (folder / "notes.md").write_text("text")
    return folder


def test_folder_is_read_at_any_depth(mixed):
    ecg = read_ecg(mixed)
    assert sorted(ecg.formats) == sorted([*WRITERS, "WFDB"])
    for x in ecg.data:
        np.testing.assert_allclose(x, COUNTS * MICROVOLTS / 1000, rtol=1e-3, atol=1e-3)
    (mixed / "picture.tif").write_bytes(b"II*\0")
    with pytest.warns(RecordWarning, match=r"picture\.tif"):
        assert len(read_ecg(mixed).data) == 6


def test_pattern_and_list_select_files(mixed):
    ecg = read_ecg(str(mixed / "ward" / "*XML"))
    assert sorted(ecg.formats) == ["GE MUSE XML", "Mortara XML"]
    paths = [mixed / "w.hea", mixed / "ward" / "EDF"]
    assert read_ecg(paths).formats.tolist() == ["WFDB", "EDF"]


def test_unreadable_files_are_skipped(mixed):
    (mixed / "ward" / "broken.xml").write_text("<RestingECG>")
    with pytest.raises(InvalidECGError, match=r"broken\.xml"):
        read_ecg(mixed)
    with pytest.warns(RecordWarning, match="1 of 7 records could not be read"):
        ecg = read_ecg(mixed, on_error="skip")
    assert [Path(name).name for name in ecg.skipped] == ["broken.xml"]
    assert len(ecg.data) == len(ecg.formats) == 6


def test_link_out_of_the_folder_raises(mixed, tmp_path):
    write_muse(tmp_path / "outside.xml")
    (mixed / "link.xml").symlink_to(tmp_path / "outside.xml")
    with pytest.raises(InvalidECGError, match="link out of"):
        read_ecg(mixed)
    assert len(read_ecg(mixed, allow_links=True).data) == 7


def test_pipe_raises(tmp_path):
    os.mkfifo(tmp_path / "pipe.xml")
    with pytest.raises(InvalidECGError):
        read_ecg([tmp_path / "pipe.xml"])


def test_csv_equals_read_csv(tmp_path):
    text = "time,II,V1 (uV)\n" + "".join(f"{i},{i / 10},{i}\n" for i in range(20))
    (tmp_path / "a.csv").write_text(text)
    ecg, expected = (
        read_ecg(tmp_path / "a.csv", sampling_rate_in=100),
        read_csv(tmp_path / "a.csv", 100),
    )
    np.testing.assert_array_equal(ecg.data, expected.data)
    assert (ecg.left_out, ecg.record_names) == (expected.left_out, expected.record_names)
    with pytest.raises(InvalidECGError, match="sampling_rate_in="):
        read_ecg(tmp_path / "a.csv")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "latin-1"])
@pytest.mark.parametrize(
    "text",
    [
        "II (µV),V1 (µV)\n100,200\n",
        "II (µV);V1 (µV)\n100,0;200\n",
        "sep=;\nII (µV);V1 (µV)\n1.00e2;200.0\n",
        "Zeit\tII_µV\tV1 µV\n0,00\t100,0\t200\n",
    ],
)
def test_csv_of_any_separator_and_encoding_is_read(tmp_path, text, encoding):
    (tmp_path / "a.csv").write_bytes(text.encode(encoding))
    ecg = read_ecg(tmp_path / "a.csv", sampling_rate_in=100)
    np.testing.assert_allclose(ecg.data, [[[0.1], [0.2]]])
    assert ecg.lead_names == ["II", "V1"]


def test_column_of_one_lead_is_csv_by_its_extension(tmp_path):
    (tmp_path / "a.csv").write_text("Lead II\n0.5\n")
    assert read_ecg(tmp_path / "a.csv", sampling_rate_in=100).data.tolist() == [[[0.5]]]
    (tmp_path / "a.txt").write_text("Lead II\n0.5\n")
    with pytest.raises(InvalidECGError, match="no known format"):
        read_ecg(tmp_path / "a.txt", sampling_rate_in=100)


def test_tables_without_leads_are_left_out_of_a_folder(tmp_path):
    (tmp_path / "a.csv").write_text("II,V1\n1,2\n")
    (tmp_path / "labels.csv").write_text("record,diagnosis\na,AF\n")
    (tmp_path / "README.txt").write_text("Export, 2024\n")
    with pytest.warns(RecordWarning, match="2 of 3 tables have no lead names") as caught:
        ecg = read_ecg(tmp_path, sampling_rate_in=100)
    assert (len(caught), ecg.record_names.tolist()) == (1, [str(tmp_path / "a")])
    (tmp_path / "b.csv").write_text("0.1,0.2\n0.3,0.4\n")  # perhaps a record without a header
    with pytest.warns(RecordWarning), pytest.raises(InvalidECGError, match="b: line 1: found the"):
        read_ecg(tmp_path, sampling_rate_in=100)


@pytest.mark.parametrize("content", [b"", b"\0" * 100])
@pytest.mark.parametrize("name", ["b.xml", "b.dcm", "b.EDF"])
def test_damaged_file_in_a_folder_is_a_failure(tmp_path, name, content):
    write_muse(tmp_path / "a.xml")
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InvalidECGError, match="no known format" if content else "an empty file"):
        read_ecg(tmp_path)
    with pytest.warns(RecordWarning, match="1 of 2 records could not be read"):
        assert len(read_ecg(tmp_path, on_error="skip").data) == 1


@pytest.mark.parametrize("options", [{}, {"duration": 0.02, "step": 0.01}])
def test_tables_of_one_stem_have_different_names(tmp_path, options):
    for number, name in enumerate(["a", "a.csv", "a.txt", "b.csv"]):
        (tmp_path / name).write_text(f"II,V1\n{number},0\n" + "0,0\n" * 2)
    paths = sorted(tmp_path.iterdir())
    for ecg in (read_ecg(tmp_path, sampling_rate_in=100, **options), read_csv(paths, 100)):
        names = [str(tmp_path / name) for name in ("a", "a.csv", "a.txt", "b")]
        n_windows = len(ecg.data) // 4
        assert ecg.record_names.tolist() == np.repeat(names, n_windows).tolist()
        assert ecg.data[::n_windows, 0, 0].tolist() == [0, 1, 2, 3]


def test_npy_is_a_memory_map_of_many_records(tmp_path):
    np.save(tmp_path / "x.npy", COUNTS[None].repeat(3, axis=0))
    ecg = read_ecg(tmp_path / "x.npy", sampling_rate_in=250, units="uV", leads=LEADS)
    np.testing.assert_allclose(ecg.data, COUNTS[None].repeat(3, axis=0) / 1000, rtol=1e-6)
    assert (ecg.lead_names, ecg.sampling_rate, ecg.formats.tolist()) == (LEADS, 250, ["NumPy"] * 3)
    np.save(tmp_path / "y.npy", COUNTS[None] / 1000)
    assert isinstance(read_ecg(tmp_path / "y.npy", sampling_rate_in=250).data, np.memmap)
    with pytest.raises(InvalidECGError, match="has 8 leads"):
        read_ecg(tmp_path / "x.npy", sampling_rate_in=250, leads=["II"])
    with pytest.raises(InvalidECGError, match="Resampler"):
        read_ecg(tmp_path / "x.npy", sampling_rate_in=250, sampling_rate=100)
    with pytest.raises(InvalidECGError, match="sampling_rate_in="):
        read_ecg(tmp_path / "x.npy")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"duration": 1, "step": 0.5}, "duration=, step= cannot change"),
        ({"max_gap": 0.1}, "max_gap= cannot change"),
        ({"rename": {"a": "II"}}, "rename= cannot change"),
        ({"out": "out.npy"}, "out= cannot change"),
        ({"leads": ["II"] * 8}, "list of different names"),
        ({"units": "mV"}, 'whole numbers .int16.*units="uV"'),
    ],
)
def test_option_without_effect_on_npy_raises(tmp_path, options, message):
    np.save(tmp_path / "x.npy", COUNTS[None])
    with pytest.raises(InvalidECGError, match=message):
        read_ecg(tmp_path / "x.npy", sampling_rate_in=250, **{"units": "uV"} | options)


# Real exports; rates are those in their text ------------------------------------------------------

CLINICAL = Path(os.environ.get("SKLEARN_BELL_DATA", "no such folder")) / "clinical"
needs_exports = pytest.mark.skipif(
    not CLINICAL.is_dir(), reason="SKLEARN_BELL_DATA does not lead to the folder clinical"
)
TWELVE = ["I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6"]
EXPORTS = {  # format, rate in Hz, number of samples
    "aecg_fda_subject1_0.xml": ("HL7 aECG", 500, 5000),
    "aecg_hl7aecg_example2.xml": ("HL7 aECG", 1000, 10000),
    "aecg_of_sierra_1_04.xml": ("HL7 aECG", 500, 5500),
    "dicom_anonymous_ecg.dcm": ("DICOM", 1000, 10000),
    "dicom_test_ecg.dcm": ("DICOM", 240, 2400),
    "scp_eli250.scp": ("SCP-ECG", 500, 5000),
    "sierra_1_03.xml": ("Philips Sierra XML", 500, 5500),
    "sierra_1_04.xml": ("Philips Sierra XML", 500, 5500),
    "sierra_1_04_01.xml": ("Philips Sierra XML", 500, 5500),
    "sierra_philips_parser.xml": ("Philips Sierra XML", 500, 5500),
}
REFUSED = {
    "bdf_test_generator.bdf": "differ in sampling rate",  # no ECG: a test signal in each channel
    "edf_wfdb_test.edf": "EDF, but has no leads",  # annotations alone
    "scp_healforce_62.scp": "SCP-ECG, but cannot be decoded",
}


@needs_exports
@pytest.mark.parametrize("name", EXPORTS)
def test_export_is_read(name):
    ecg = read_ecg(CLINICAL / name)
    assert (ecg.formats[0], ecg.sampling_rate, ecg.data.shape[2]) == EXPORTS[name]
    assert ecg.lead_names == TWELVE
    limb = ecg.data[0, :6, : 10 * EXPORTS[name][1]]  # the eleventh second calibrates
    # II = I + III, and aVF = II - I / 2, up to the rounding of the device
    assert np.abs(limb[1] - limb[0] - limb[2]).max() < 0.035
    assert np.abs(limb[5] - limb[1] + limb[0] / 2).max() < 0.035


@needs_exports
@pytest.mark.parametrize("name", [name for name, facts in EXPORTS.items() if "aECG" in facts[0]])
def test_aecg_has_the_digits_of_its_text(name):
    text = (CLINICAL / name).read_text("utf-8", "replace")
    leads = re.findall(
        r'code="MDC_ECG_LEAD_(\w+)".*?<scale value="([\d.]+)" unit="uV".*?<digits>(.*?)</digits>',
        text,
        re.DOTALL,
    )
    ecg = read_ecg(CLINICAL / name)
    for lead, scale, digits in leads[:12]:  # rhythm, then the representative beat
        expected = np.array(digits.split(), float) * float(scale) / 1000
        row = [name.upper() for name in ecg.lead_names].index(lead)
        np.testing.assert_allclose(ecg.data[0, row], expected, atol=1e-6)


@needs_exports
@pytest.mark.parametrize("name", [name for name in EXPORTS if name.endswith(".dcm")])
def test_dicom_has_the_samples_of_pydicom(name):
    import pydicom

    file = pydicom.dcmread(CLINICAL / name)
    channel = file.WaveformSequence[0].ChannelDefinitionSequence[0]
    unit = channel.ChannelSensitivityUnitsSequence[0].CodeValue
    expected = file.waveform_array(0).T * {"uV": 1e-3, "mV": 1}[unit]
    np.testing.assert_allclose(read_ecg(CLINICAL / name).data[0], expected, atol=1e-4)


@needs_exports
def test_sierra_has_the_samples_of_its_aecg():
    sierra, aecg = (
        read_ecg(CLINICAL / name).data[0] for name in ("sierra_1_04.xml", "aecg_of_sierra_1_04.xml")
    )
    # the aECG is that record after a filter, which removes content at 60 Hz
    assert np.abs(sierra - aecg).max() < 0.025
    for x, y in zip(sierra, aecg, strict=True):
        assert np.corrcoef(x, y)[0, 1] > 0.99


@needs_exports
@pytest.mark.parametrize(("name", "message"), REFUSED.items())
def test_other_file_is_refused(name, message):
    with pytest.raises(InvalidECGError, match=message):
        read_ecg(CLINICAL / name)


@needs_exports
def test_folder_of_exports_is_read():
    with pytest.warns(RecordWarning) as caught:
        ecg = read_ecg(CLINICAL, sampling_rate=100, duration=5, leads=["II"], on_error="skip")
    assert len(ecg.data) == len(EXPORTS) + 1  # and the stub
    assert sorted(Path(name).name for name in ecg.skipped) == sorted(REFUSED)
    assert [Path(name).name for name in ecg.padded] == ["aecg_fda_minimum.xml"]
    assert len(caught) == 2
