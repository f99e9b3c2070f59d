"""Where the data sets come from: the one table of addresses, licences and citations."""

from __future__ import annotations

from typing import NamedTuple


class Source(NamedTuple):
    """Where a data set comes from, and how its folder is recognised."""

    name: str
    marker: str  # a file that lies in its folder
    folders: tuple[str, ...]  # usual names of its folder; the first is that of downloads
    url: str  # of its page
    files: str  # address of the folder of its files
    size: str
    licence: str
    citation: str


PTB_XL = Source(
    name="PTB-XL",
    marker="ptbxl_database.csv",
    folders=(
        "ptb-xl",
        "ptb-xl-a-large-publicly-available-electrocardiography-dataset-1.0.3",
        "physionet.org/files/ptb-xl/1.0.3",
    ),
    url="https://physionet.org/content/ptb-xl/1.0.3/",
    files="https://physionet.org/files/ptb-xl/1.0.3/",
    size="about 3 GB unpacked",
    licence="CC BY 4.0",
    citation="""\
Wagner et al., PTB-XL, a large publicly available electrocardiography dataset. Scientific Data 7,
154 (2020), doi:10.1038/s41597-020-0495-6, doi:10.13026/kfzx-aw45
""",
)

LUDB = Source(
    name="LUDB",
    marker="ludb.csv",
    folders=(
        "ludb",
        "lobachevsky-university-electrocardiography-database-1.0.1",
        "physionet.org/files/ludb/1.0.1",
    ),
    url="https://physionet.org/content/ludb/1.0.1/",
    files="https://physionet.org/files/ludb/1.0.1/",
    size="about 25 MB unpacked",
    licence="ODC-By 1.0",
    citation="""\
Kalyakulina et al., LUDB: A New Open-Access Validation Tool for Electrocardiogram Delineation
Algorithms. IEEE Access 8, 186181-186190 (2020), doi:10.1109/ACCESS.2020.3029211,
doi:10.13026/eegm-h675
""",
)

CHALLENGE_2021 = Source(
    name="the PhysioNet/CinC Challenge 2021",
    marker="SHA256SUMS.txt",
    folders=("challenge-2021",),
    url="https://physionet.org/content/challenge-2021/1.0.3/",
    files="https://physionet.org/files/challenge-2021/1.0.3/",
    size="about 10 GB unpacked",
    licence="CC BY 4.0",
    citation="""\
Perez Alday et al., Classification of 12-lead ECGs: the PhysioNet/Computing in Cardiology Challenge
2020. Physiological Measurement 41(12), 124003 (2020), doi:10.1088/1361-6579/abc960
Reyna et al., Will Two Do? Varying Dimensions in Electrocardiography: the PhysioNet/Computing in
Cardiology Challenge 2021. Computing in Cardiology 48 (2021), doi:10.23919/CinC53138.2021.9662687,
doi:10.13026/34va-7q14
""",
)
