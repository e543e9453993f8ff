"""Which files belong to the user's function, and what changes their digest."""

from pathlib import Path

import pytest

from backendexp.worker import user_files


def write(folder: Path, **files: str) -> None:
    """write(folder, my__models="...") writes my/models.py. The name init stands for __init__."""
    for name, content in files.items():
        *parents, last = name.split("__")
        path = folder.joinpath(*parents, "__init__.py" if last == "init" else f"{last}.py")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)


def names(target: str, folder: Path) -> list[str]:
    return sorted(user_files.sources(user_files.find(target, str(folder)), str(folder)))


def digest(target: str, folder: Path) -> str:
    return user_files.digest(user_files.sources(user_files.find(target, str(folder)), str(folder)))


def test_module_and_what_it_imports_from_the_folder_are_the_source(project: Path) -> None:
    write(project, mine="import numpy\nimport parts\ndef build():\n    from later import x\n")
    write(project, parts="import os, json", later="x = 1", unrelated="y = 2")
    assert names("mine.build", project) == ["later.py", "mine.py", "parts.py"]


def test_package_is_followed_through_relative_imports(project: Path) -> None:
    write(project, pkg__init="", pkg__sub__init="from . import c")
    write(project, pkg__a="from .sub import b\nfrom . import d", pkg__sub__b="from ..e import f")
    write(project, pkg__sub__c="", pkg__d="", pkg__e="f = 1", pkg__other="")
    expected = ["__init__", "a", "d", "e", "sub/__init__", "sub/b", "sub/c"]
    assert names("pkg.a.build", project) == [f"pkg/{name}.py" for name in expected]


def test_folder_without_init_is_a_package_too(project: Path) -> None:
    write(project, pkg__sub__a="from . import b", pkg__sub__b="")
    assert names("pkg.sub.a.build", project) == ["pkg/sub/a.py", "pkg/sub/b.py"]


def test_file_in_another_folder_finds_its_neighbours_and_modules_of_the_working_directory(
    project: Path, tmp_path: Path
) -> None:
    write(tmp_path, there__mine="import beside\nimport shared", there__beside="")
    write(project, shared="")
    assert names(f"{tmp_path}/there/mine.py:build", project) == ["beside.py", "mine.py", "shared.py"]
    assert names("../there/mine.py:build", project) == ["beside.py", "mine.py", "shared.py"]


def test_modules_that_import_each_other_are_each_read_once(project: Path) -> None:
    write(project, a="import b", b="import a")
    assert names("a.build", project) == ["a.py", "b.py"]


def test_digest_depends_on_the_code_alone_and_not_on_the_folder(project: Path, tmp_path: Path) -> None:
    for folder in (project, tmp_path / "copy"):
        folder.mkdir(exist_ok=True)
        write(folder, mine="import parts", parts="x = 1", unrelated="y = 2")
    first = digest("mine.build", project)
    assert digest("mine.build", tmp_path / "copy") == first
    write(project, unrelated="y = 3")
    assert digest("mine.build", project) == first
    write(project, parts="x = 2")
    assert digest("mine.build", project) != first


def test_nothing_is_imported(project: Path) -> None:
    write(project, pkg__init="raise SystemExit", pkg__a="raise SystemExit")
    assert names("pkg.a.build", project) == ["pkg/__init__.py", "pkg/a.py"]


def test_function_of_an_installed_package_is_found_with_its_own_file_alone(project: Path) -> None:
    assert names("keras.models.Sequential", project) == ["__init__.py"]


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("nothing.build", "there is no module 'nothing' in "),
        ("here.build", "the folder 'here' has no module 'build'"),
        ("there.py:build", "there is no file "),
        ("build", "expected MODULE.FUNCTION, or FILE.py:FUNCTION"),
        ("a b.c", "expected MODULE.FUNCTION, or FILE.py:FUNCTION"),
        ("mine.py:", "expected the name of a function after the colon"),
        ("pkg.mine", "'pkg.mine' is a module. Expected a function of it"),
    ],
)
def test_target_that_leads_nowhere_is_explained(project: Path, target: str, message: str) -> None:
    write(project, mine="", pkg__init="", pkg__mine="", here__other="")
    with pytest.raises(user_files.NotFound) as raised:
        user_files.find(target, str(project))
    assert message in str(raised.value)


def test_file_that_is_no_python_is_named_with_its_line(project: Path) -> None:
    write(project, mine="x = 1\ndef build(:\n")
    with pytest.raises(SyntaxError) as raised:
        names("mine.build", project)
    assert (raised.value.filename, raised.value.lineno) == (str(project / "mine.py"), 2)
