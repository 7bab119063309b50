# What the scripts that run something nobody here wrote have in common; they source it first.
# Gives: the repository as the working directory, $PORTCULLIS, and in $home, below the target directory, the packages.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
export PYTHONDONTWRITEBYTECODE=1

# need PROGRAM PACKAGE: ends the script where a program is missing, and names its Debian package.
need() {
    command -v "$1" >/dev/null || { echo "missing: $1 (Debian package $2)" >&2; exit 1; }
}

# python_with NAME PACKAGE==VERSION...: $python becomes a Python that has exactly these.
python_with() {
    local environment="$home/$1"
    shift
    python="$environment/bin/python"
    "$python" - "$@" 2>/dev/null <<'PYTHON' && return
import importlib.metadata, sys
for name, version in (pinned.split("==") for pinned in sys.argv[1:]):
    assert importlib.metadata.version(name) == version
PYTHON
    python3 -m venv "$environment" || { echo "missing: the venv module (Debian package python3-venv)" >&2; exit 1; }
    timeout 300 "$python" -m pip install --quiet --disable-pip-version-check "$@"
}

# modules_with DIRECTORY: $modules becomes a directory with what DIRECTORY/package.json names, in node_modules.
modules_with() {
    need node nodejs
    need npm npm
    modules="$home/$(basename "$1")"
    mkdir -p "$modules"
    cp "$1/package.json" "$modules/"
    cmp -s "$modules/package.json" "$modules/node_modules/.installed" && return
    (cd "$modules" && timeout 300 npm install --no-package-lock --no-audit --no-fund --ignore-scripts --silent)
    cp "$modules/package.json" "$modules/node_modules/.installed"
}

need python3 python3-venv
need timeout coreutils
target=$(cargo metadata --no-deps --format-version 1 |
    python3 -c 'import json, sys; print(json.load(sys.stdin)["target_directory"])')
cargo build --quiet --bin portcullis
export PORTCULLIS="$target/debug/portcullis"
home="$target/e2e"
mkdir -p "$home"
