"""Where things lie in a LeRobot v3.0 data set, what they are called, and how they appear whole.

    meta/info.json                              features, rate, totals
    meta/stats.json                             statistics over all frames
    meta/tasks.parquet                          task_index -> sentence
    meta/episodes/chunk-000/file-000.parquet    one row per episode: the index
    data/chunk-000/file-007.parquet             the rows of one episode (others put many in a file)
    videos/KEY/chunk-000/file-000.mp4           read, never written: images go as PNG into data/

Our stream `wrist` is `observation.images.wrist` there, `measured` is `observation.measured`. Real
stamps are columns of our own, `stamp.row_ns`, since LeRobot's `timestamp` is frame / fps.
"""

import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from robot_io.errors import FeelforwardError

VERSION = "v3.0"
FILES_PER_CHUNK = 1000
DATA_PATH = "data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet"
VIDEO_PATH = "videos/{video_key}/chunk-{chunk_index:03d}/file-{file_index:03d}.mp4"
INFO = Path("meta/info.json")
STATS = Path("meta/stats.json")
TASKS = Path("meta/tasks.parquet")
EPISODES = Path("meta/episodes")
INDEX = EPISODES / "chunk-000/file-000.parquet"

ACTION = "action"
IMAGE_PREFIX = "observation.images."
VECTOR_PREFIX = "observation."
STAMP_PREFIX = "stamp."
COUNTERS = ("episode_index", "frame_index", "index", "task_index")

Feature = dict[str, Any]  # as in info.json: dtype, shape, names


def vector_key(name: str) -> str:
    return ACTION if name == ACTION else VECTOR_PREFIX + name


def image_key(name: str) -> str:
    return IMAGE_PREFIX + name


def stamp_key(name: str) -> str:
    return f"{STAMP_PREFIX}{name}_ns"


def stream_name(key: str) -> str:
    """`observation.images.wrist` -> `wrist`, `observation.state` -> `state`, `action` as it is."""
    return key.removeprefix(IMAGE_PREFIX).removeprefix(VECTOR_PREFIX)


def is_vector(key: str, feature: Feature) -> bool:
    numeric = str(feature["dtype"]).startswith(("float", "int"))
    return numeric and (key == ACTION or key.startswith(VECTOR_PREFIX))


def is_image(feature: Feature) -> bool:
    return feature["dtype"] in ("image", "video")


def arrow_type(feature: Feature) -> pa.DataType:
    """How LeRobot stores a feature: PNG structs, fixed-size lists, plain columns for one number."""
    if feature["dtype"] == "image":
        return pa.struct({"bytes": pa.binary(), "path": pa.string()})
    value = pa.bool_() if feature["dtype"] == "bool" else pa.type_for_alias(feature["dtype"])
    shape = tuple(feature["shape"])
    return value if shape == (1,) else pa.list_(value, shape[0])


def data_schema(features: Mapping[str, Feature]) -> pa.Schema:
    """Columns of a data file, with the note that makes Hugging Face `datasets` show images."""
    hub = {key: _hub_feature(feature) for key, feature in features.items()}
    note = json.dumps({"info": {"features": hub}})
    fields = [pa.field(key, arrow_type(feature)) for key, feature in features.items()]
    return pa.schema(fields, metadata={"huggingface": note})


def _hub_feature(feature: Feature) -> dict[str, Any]:
    if feature["dtype"] == "image":
        return {"_type": "Image"}
    value = {"dtype": feature["dtype"], "_type": "Value"}
    shape = tuple(feature["shape"])
    return value if shape == (1,) else {"feature": value, "length": shape[0], "_type": "Sequence"}


def tasks_table(tasks: list[str]) -> pa.Table:
    """LeRobot reads it with pandas and takes the sentence from the index."""
    index = "__index_level_0__"
    column = {"pandas_type": "unicode", "numpy_type": "object", "metadata": None}
    number = {"pandas_type": "int64", "numpy_type": "int64", "metadata": None}
    note = {
        "index_columns": [index],
        "column_indexes": [],
        "columns": [
            {"name": "task_index", "field_name": "task_index", **number},
            {"name": None, "field_name": index, **column},
        ],
        "pandas_version": "2.2.0",
    }
    table = pa.table({"task_index": list(range(len(tasks))), index: tasks})
    return table.replace_schema_metadata({"pandas": json.dumps(note)})


def read_json(path: Path) -> dict[str, Any]:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise FeelforwardError(f"{path} is missing: this is not a LeRobot v3 data set.") from None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise FeelforwardError(f"{path} is not readable as JSON: {error}.") from None


def read_parquet(path: Path, columns: list[str] | None = None) -> pa.Table:
    try:
        with pq.ParquetFile(path) as file:
            return file.read(columns=columns)
    except FileNotFoundError:
        raise FeelforwardError(f"{path} is missing from the data set.") from None
    except (pa.ArrowException, OSError) as error:
        raise FeelforwardError(f"{path} is not readable as parquet: {_first_line(error)}") from None


def read_schema(path: Path) -> pa.Schema:
    try:
        return pq.read_schema(path)
    except FileNotFoundError:
        raise FeelforwardError(f"{path} is missing from the data set.") from None
    except (pa.ArrowException, OSError) as error:
        raise FeelforwardError(f"{path} is not readable as parquet: {_first_line(error)}") from None


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0]


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    text = json.dumps(content, indent=4) + "\n"
    replace_file(path, lambda partial: partial.write_text(text, encoding="utf-8"))


def write_parquet(path: Path, table: pa.Table) -> None:
    """As `replace_file`, and a power cut after it returns loses nothing either."""

    def write(partial: Path) -> None:
        pq.write_table(table, partial)
        _sync(partial)

    replace_file(path, write)
    _sync(path.parent)


def replace_file(path: Path, write: Callable[[Path], object]) -> None:
    """Readers see the old file or the new one, whole, whatever happens to us in between."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.partial")
    write(partial)
    partial.replace(path)


@contextmanager
def new_directory(path: Path) -> Iterator[Path]:
    """A partial directory beside `path`, renamed to it when the block ends without an error.

    Otherwise it goes. Raises FeelforwardError when `path` exists.
    """
    if path.exists():
        raise FeelforwardError(f"{path} exists already: choose a new directory.")
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        yield partial
        partial.replace(path)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _sync(path: Path) -> None:
    """Waits until `path` is on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
