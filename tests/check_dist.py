"""Build the wheel and the source archive, and see whether each works in an empty environment.

python tests/check_dist.py [--constraints constraints.txt]
"""

import argparse
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

ROOT = Path(__file__).parent.parent
SMOKE = """
import sklearn_bell
from pathlib import Path
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn_bell.datasets import make_ecg

assert "site-packages" in sklearn_bell.__file__
assert (Path(sklearn_bell.__file__).parent / "py.typed").exists()
ecg = make_ecg(12, classes=["normal", "lbbb"], leads=["II", "V1"], duration=4, random_state=0)
bell = sklearn_bell.BELLPretrainer(max_epochs=1, random_state=0)
pipeline = make_pipeline(bell, StandardScaler(), LogisticRegression())
assert pipeline.fit(ecg.data, ecg.target).predict(ecg.data).shape == (12,)
records = make_ecg(3, duration=10, sampling_rate=100, random_state=0).data
assert sklearn_bell.BELLPretrainer.from_pretrained().transform(records).shape == (3, 1152)
"""


def run(*command, **options):
    """Run a command; its output is shown if it fails."""
    done = subprocess.run(
        [*map(str, command)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **options
    )
    if done.returncode:
        sys.exit(f"{' '.join(map(str, command))}\n{done.stdout}")
    return done.stdout


def main(constraints):
    """Build, install and try both."""
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        environment = folder / "build"
        venv.create(environment, with_pip=True)
        python = environment / "bin" / "python"
        run(python, "-m", "pip", "install", "--quiet", "build")
        run(python, "-m", "build", "--outdir", ROOT / "dist", ROOT)
        for archive in sorted((ROOT / "dist").iterdir()):
            environment = folder / archive.suffix
            venv.create(environment, with_pip=True)
            python = environment / "bin" / "python"
            run(python, "-m", "pip", "install", "--quiet", "-c", constraints, archive)
            run(python, "-W", "ignore", "-c", SMOKE, cwd=folder)
            run(environment / "bin" / "sklearn-bell", "--help")
            run(python, "-m", "pip", "check")
            print(f"{archive.name}: {archive.stat().st_size / 1e6:.2f} MB, installs and works")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--constraints", default=ROOT / "constraints.txt")
    main(parser.parse_args().constraints)
