"""Fuzz tests of hospital exports: mutated files are read by their content, or rejected."""

import base64
import os
import re
import struct
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import strategies as st

from sklearn_bell.datasets import read_ecg
from sklearn_bell.exceptions import InvalidECGError
from tests.datasets.test_read_ecg import WRITERS
from tests.fuzz._fuzzing import MOST_BYTES, Outcomes, fuzz, mutated, watched

pytest.importorskip("ecgdatakit")

pytestmark = [
    pytest.mark.filterwarnings("ignore:.* were padded with zeros"),
    pytest.mark.filterwarnings("ignore:.* are left out"),
    pytest.mark.filterwarnings("ignore:.* were skipped"),
]
XML = ("GE MUSE XML", "Mortara XML")
ENTITIES = b'<!DOCTYPE a [<!ENTITY a "a"><!ENTITY b "&a;&a;"><!ENTITY c SYSTEM "/etc/passwd">]>'
AIMS = [  # elements and attributes of the XML formats
    (rb"^<\?xml[^>]*\?>", [ENTITIES, b"", b'<?xml version="1.0" encoding="UTF-16"?>',
                           b'<?xml version="1.0" encoding="nonsense"?>']),
    (rb"(?<=<)\w+(?=>)", [b"Waveform", b"LeadData", b"LeadID", b"ECG", b"a" * 3000]),
    (rb"(?<=>)[\w.]+(?=<)", [b"&b;", b"&c;", b"-1", b"0", b"1e400", b"Median", b"Rhythm", b"II",
                             b"MILLIVOLTS", b"nan", b"1000000000000"]),
    (rb'(?<=")[\w.]+(?=")', [b"&c;", b"0", b"-1", b"1e400", b"nan", b"32", b"UNSIGNED", b"V1"]),
    (rb"(?s)<LeadData>.*?</LeadData>", [b"", b"<LeadData/>", b"<LeadData>" * 3000]),
]  # fmt: skip
# pydicom asks for a buffer of the declared length, up to 4 GiB, and uses what the file has of it
MOST_BYTES_OF = {"DICOM": 2**33}
outcomes = Outcomes()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Return a folder of a file in every format, with a link out of it and a pipe."""
    home = tmp_path_factory.mktemp("home")
    folder = home / "exports"
    folder.mkdir()
    for name, write in WRITERS.items():
        write(folder / name)
        read_ecg(folder / name)  # before any watching: the first read imports modules
    WRITERS["ISHNE"](home / "outside")
    (folder / "link").symlink_to("../outside")
    os.mkfifo(folder / "pipe")
    yield folder
    outcomes.report("exports")


def plain_read(content, name):
    """Read a file in plain Python as a list of leads in mV, or None for other formats."""
    if name in XML:
        text = content.decode("latin-1")  # the declared encoding may be wrong
        root = ElementTree.fromstring(re.sub(r"^\s*<\?xml.*?\?>", "", text, flags=re.DOTALL))
    if name == "GE MUSE XML":
        forms = [
            wave for wave in root.iter("Waveform") if wave.findtext("WaveformType") == "Rhythm"
        ]
        units = {"MICROVOLTS": 1e-3, "MILLIVOLTS": 1}
        return [
            np.frombuffer(base64.b64decode(lead.findtext("WaveFormData")), "<i2")
            * float(lead.findtext("LeadAmplitudeUnitsPerBit"))
            * units[lead.findtext("LeadAmplitudeUnits")]
            for lead in forms[0].iter("LeadData")
        ]
    if name == "Mortara XML":
        return [
            np.frombuffer(base64.b64decode(channel.get("DATA")), "<i2")
            / float(channel.get("UNITS_PER_MV"))
            for channel in root.iter("CHANNEL")
        ]
    if name == "ISHNE":
        (start,) = struct.unpack_from("<i", content, 22)
        (n_leads,) = struct.unpack_from("<h", content, 156)
        resolutions = struct.unpack_from(f"<{n_leads}h", content, 206)
        values = np.frombuffer(content[start:], "<i2").reshape(-1, n_leads)
        return [x * (scale / 1e6) for x, scale in zip(values.T, resolutions, strict=True)]
    return None


@fuzz
def test_export_is_read_correctly_or_rejected(folder, data):
    name = data.draw(st.sampled_from(sorted(WRITERS)))
    path, is_text = folder / name, name in XML
    options = data.draw(st.sampled_from([{}, {}, {"sampling_rate": 100}, {"duration": 1.5}]))
    original = path.read_bytes()
    changed = data.draw(mutated(original, text=is_text, aims=AIMS if is_text else ()))
    path.write_bytes(changed)
    try:
        with watched(folder, MOST_BYTES_OF.get(name, MOST_BYTES)):
            ecg = read_ecg(path, **options)
    except InvalidECGError as error:
        assert str(path) in str(error)  # noqa: PT017
        outcomes["rejected"] += 1
        return
    finally:
        path.write_bytes(original)
    outcomes["read"] += 1
    assert np.isfinite(ecg.data).all()
    assert ecg.data.shape[0] == 1
    assert len(set(ecg.lead_names)) == ecg.data.shape[1]
    expected = None if options else plain_read(changed, ecg.formats[0])
    if expected is not None:
        # sorted by values: names, and with them the order, may have changed
        observed = sorted(map(tuple, ecg.data[0].tolist()))
        expected = sorted(tuple(np.float32(values).tolist()) for values in expected)
        np.testing.assert_allclose(observed, expected, rtol=1e-5, atol=1e-7)


@fuzz
def test_folder_of_exports_stays_inside(folder, data):
    """Files of any content and name in a folder are read, left out or rejected."""
    name = data.draw(st.sampled_from(["a.xml", "a.dcm", "a", "a.hea", "a.csv", "RECORDS"]))
    source = data.draw(st.sampled_from([*sorted(WRITERS), "RECORDS"]))
    on_error = data.draw(st.sampled_from(["raise", "skip"]))
    content = b"link\npipe\n" if source == "RECORDS" else (folder / source).read_bytes()
    (folder / name).write_bytes(data.draw(mutated(content, text=source in XML)))
    try:
        with watched(folder, MOST_BYTES_OF["DICOM"]):
            ecg = read_ecg(folder, on_error=on_error)
    except InvalidECGError as error:
        assert re.search("link|" + re.escape(str(folder)), str(error))  # noqa: PT017
        outcomes["folder rejected"] += 1
        return
    finally:
        (folder / name).unlink()
    outcomes["folder read"] += 1
    assert not any("link" in str(record) for record in ecg.record_names)
