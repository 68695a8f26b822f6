"""Builds the C++ extension ``lilnetx._core`` with CMake; the rest is in pyproject.toml."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from setuptools import Extension, find_packages, setup
from setuptools.command.build_ext import build_ext

ROOT = Path(__file__).resolve().parent


class CMakeExtension(Extension):
    """An extension whose sources are listed in CMakeLists.txt."""

    def __init__(self, name: str) -> None:
        super().__init__(name, sources=[])


class CMakeBuild(build_ext):
    """Configures and builds with CMake, and puts the module where setuptools expects it."""

    def build_extension(self, ext: Extension) -> None:
        import pybind11

        output = Path(self.get_ext_fullpath(ext.name)).resolve().parent
        build_dir = Path(self.build_temp).resolve() / ext.name
        build_dir.mkdir(parents=True, exist_ok=True)
        ninja = shutil.which("ninja")
        # Every path is passed at each configure: an isolated build leaves paths of its temporary
        # environment in CMakeCache.txt, and the next build would look for them.
        configure = [
            "cmake",
            "-S",
            str(ROOT),
            "-B",
            str(build_dir),
            "-G",
            "Ninja",
            f"-DCMAKE_BUILD_TYPE={os.environ.get('LILNETX_BUILD_TYPE', 'Release')}",
            f"-DCMAKE_LIBRARY_OUTPUT_DIRECTORY={output}",
            f"-DPython_EXECUTABLE={sys.executable}",
            f"-Dpybind11_DIR={pybind11.get_cmake_dir()}",
            f"-DLNX_SANITIZE={os.environ.get('LILNETX_SANITIZE', '')}",
            # Kernels for NVIDIA GPUs: OFF, ON, or where there is an nvcc.
            f"-DLNX_CUDA={os.environ.get('LILNETX_CUDA', 'AUTO')}",
            f"-DLNX_TESTS={os.environ.get('LILNETX_BUILD_TESTS', 'OFF')}",
        ]
        if ninja:
            configure.append(f"-DCMAKE_MAKE_PROGRAM={ninja}")
        subprocess.run(configure, check=True)
        targets = ["_core"]
        if os.environ.get("LILNETX_BUILD_TESTS") == "ON":
            targets.append("lnx_test")
        subprocess.run(["cmake", "--build", str(build_dir), "--target", *targets], check=True)


setup(
    packages=[*find_packages(include=["lilnetx", "lilnetx.*"]), "lilnetx.kernels"],
    # A top-level package called "kernels" would clash with the PyPI package of that name.
    package_dir={"lilnetx.kernels": "kernels"},
    package_data={
        "lilnetx": ["py.typed", "_core.pyi", "format/SPEC.md", "models/*", "report/page.*"]
    },
    ext_modules=[CMakeExtension("lilnetx._core")],
    cmdclass={"build_ext": CMakeBuild},
)
