"""The one thing that pyproject.toml has no stable word for: what is compiled.

Optional: without a compiler the recorder is the same in Python, only slower (`producers/recorder/hot_path.py`).
"""

from setuptools import Extension, setup

setup(
    ext_modules=[Extension("producers.recorder._hot_path", ["producers/recorder/_hot_path.c"], optional=True)],
)
