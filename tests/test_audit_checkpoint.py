"""What no chain can show and a checkpoint can: lost ends, old copies, rewritten and forked histories."""

import base64
import json
import random
import shutil

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from splittally.journal.proof.checkpoint import parse_and_verify, sign
from splittally.journal.proof.merkle import inclusion_proof, root
from splittally.journal.proof.signed_note import load_key
from splittally.runtime.reader import open_reader

from tests.cli_tools import busy_world, copied, forged, intent, make_world, run
from tests.journal_damage import rolled_back

FRAMES = 18


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A folder with a world, a key, its public half, and a checkpoint of the world."""
    home = tmp_path_factory.mktemp("checkpoint")
    world = busy_world(home / "world")
    made = run("-w", world, "checkpoint", "--key", home / "key.pem", "--new-key", "--json").json
    (home / "signed").write_text(made["checkpoint"])
    (home / "public").write_text(made["public_key"])
    return home


def against(world, home):
    return run("-w", world, "verify", "--against", home / "signed", "--public", home / "public", "--json")


def refused(world, home):
    """Where and why, for a journal that the checkpoint refuses and the chain alone does not."""
    assert run("-w", world, "verify").code == 0
    ran = against(world, home)
    assert ran.code == 1
    return ran.json["error"]["facts"]["seq"], ran.json["error"]["message"]


# --- signing ----------------------------------------------------------------------------------------


def test_a_checkpoint_is_a_signed_note_that_anybody_can_verify(home):
    text, _, signature = (home / "signed").read_text().rpartition("\n\n")
    lines = text.split("\n")
    report = run("-w", home / "world", "verify", "--json").json
    assert lines[0] == f"splittally/{report['world']}"
    assert lines[1] == str(FRAMES)
    assert lines[3:] == [f"head {report['head']}", f"state {report['state_root']}"]
    name, encoded = signature.removeprefix("\N{EM DASH} ").split()
    public = base64.b64decode((home / "public").read_text().split("+", 2)[2])
    assert name == lines[0]
    Ed25519PublicKey.from_public_bytes(public[1:]).verify(base64.b64decode(encoded)[4:], f"{text}\n".encode())


def test_the_note_itself_comes_out_where_no_json_is_asked_for(home):
    ran = run("-w", home / "world", "checkpoint", "--key", home / "key.pem")
    assert ran.out == (home / "signed").read_text()
    assert (home / "public").read_text() in ran.err


def test_a_key_is_made_only_on_request_and_never_written_over(home, tmp_path, monkeypatch):
    monkeypatch.delenv("TALLY_KEY", raising=False)
    assert "--new-key" in run("-w", home / "world", "checkpoint").err
    assert run("-w", home / "world", "checkpoint", "--key", tmp_path / "none").code == 2
    key = (home / "key.pem").read_bytes()
    assert run("-w", home / "world", "checkpoint", "--key", home / "key.pem", "--new-key").code == 2
    assert (home / "key.pem").read_bytes() == key
    assert (home / "key.pem").stat().st_mode & 0o077 == 0


def test_a_damaged_journal_is_not_signed(home, tmp_path):
    def edit(seq, body):
        if seq == 4:
            body[1] = 0
        return body

    ran = run(
        "-w", forged(home / "world", tmp_path / "forged", edit), "checkpoint", "--key", home / "key.pem"
    )
    assert ran.code == 1
    assert "not signed" in ran.err
    assert ran.out == ""


# --- comparing --------------------------------------------------------------------------------------


def test_a_journal_that_only_grew_passes(home, tmp_path):
    world = copied(home / "world", tmp_path / "copy")
    assert against(world, home).json["checkpoint_size"] == FRAMES
    run("-w", world, "submit", text=intent("pool", 1) * 5)
    grown = against(world, home)
    assert (grown.code, grown.json["frames"], grown.json["checkpoint_size"]) == (0, FRAMES + 5, FRAMES)


def test_a_lost_end_is_found(home, tmp_path):
    cut = forged(home / "world", tmp_path / "cut", lambda seq, body: body if seq < FRAMES - 1 else None)
    seq, message = refused(cut, home)
    assert (seq, "its end was lost" in message) == (FRAMES - 1, True)


def test_an_old_copy_put_back_is_found(home, tmp_path):
    world = copied(home / "world", tmp_path / "copy")
    rolled_back(world / "journal" / "data.mdb", random.Random(1))
    assert refused(world, home)[0] == FRAMES - 1


def test_a_history_written_anew_is_found(home, tmp_path):
    def edit(seq, body):
        if seq >= 9:
            body[1] += 1
        return body

    seq, message = refused(forged(home / "world", tmp_path / "anew", edit), home)
    assert (seq, "one of them was changed" in message) == (FRAMES - 1, True)


def test_two_histories_of_one_world_are_told_apart(home, tmp_path):
    world = home / "world"
    fork = forged(world, tmp_path / "fork", lambda seq, body: body if seq < FRAMES - 3 else None)
    run("-w", fork, "submit", text=intent("pool", 1) * 6)
    assert "another history" in refused(fork, home)[1]


def test_another_world_is_named(home, tmp_path):
    seq, message = refused(make_world(tmp_path / "other"), home)
    assert (seq, "the checkpoint is of" in message) == (0, True)


def test_a_state_that_is_not_the_signed_one_is_found(home):
    key = load_key(home / "key.pem")
    signed = parse_and_verify((home / "signed").read_text(), (home / "public").read_text())
    other = home / "other"
    other.write_text(sign(signed._replace(state=bytes(32)), key, signed.origin))
    ran = run("-w", home / "world", "verify", "--against", other, "--public", home / "public", "--json")
    assert ran.code == 1
    assert "the state is not what was signed" in ran.json["error"]["message"]


def test_a_checkpoint_counts_only_with_the_signature_that_the_reader_chose(home, tmp_path):
    world = home / "world"
    made = run("-w", world, "checkpoint", "--key", tmp_path / "other.pem", "--new-key", "--json").json
    other = run("-w", world, "verify", "--against", home / "signed", "--public", made["public_key"])
    assert other.code == 2
    assert "did not sign" in other.err
    text = (home / "signed").read_text()
    (tmp_path / "altered").write_text(text.replace(f"\n{FRAMES}\n", f"\n{FRAMES - 1}\n"))
    altered = run("-w", world, "verify", "--against", tmp_path / "altered", "--public", home / "public")
    assert "does not fit" in altered.err
    known = run("-w", world, "verify", "--against", home / "signed")  # keys that signed here before
    assert known.code == 0
    shutil.rmtree(tmp_path / "copy", ignore_errors=True)
    copied(world, tmp_path / "copy")
    (tmp_path / "copy" / "checkpoint.keys").unlink()
    nobody = run("-w", tmp_path / "copy", "verify", "--against", home / "signed")
    assert (nobody.code, "--public" in nobody.err) == (2, True)


def test_whose_signature_counts_is_what_was_said_else_what_the_environment_says(home, tmp_path, monkeypatch):
    world, against = home / "world", ("verify", "--against", home / "signed")
    other = run("-w", world, "checkpoint", "--key", tmp_path / "o.pem", "--new-key", "--json").json[
        "public_key"
    ]
    monkeypatch.setenv("TALLY_PUBLIC_KEY", other)
    assert run("-w", world, *against).code == 2
    assert run("-w", world, *against, "--public", home / "public").code == 0


# --- proofs -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("seq", [0, 7, FRAMES - 1])
def test_a_frame_is_proved_to_people_without_the_world(home, tmp_path, monkeypatch, seq):
    proof = tmp_path / "proof.json"
    options = ("--against", home / "signed", "--public", home / "public")
    assert run("-w", home / "world", "prove", seq, *options, "--out", proof).code == 0
    monkeypatch.delenv("TALLY_WORLD", raising=False)
    checked = run("prove", "--check", proof, "--public", home / "public", "--json")
    assert (checked.code, checked.json["holds"], checked.json["signed"]) == (0, True, True)
    assert checked.json["seq"] == seq


def test_every_field_of_a_proof_counts(home, tmp_path):
    made = run("-w", home / "world", "prove", 7, "--against", home / "signed", "--public", home / "public")
    proof = made.json
    file = tmp_path / "proof.json"
    wrong = {
        "seq": 8, "size": FRAMES + 1, "origin": "splittally/00", "root": "00" * 32,
        "frame": "00" + proof["frame"][2:], "steps": proof["steps"][:-1],
        "checkpoint": proof["checkpoint"] + "x",
    }  # fmt: skip
    assert set(wrong) == set(proof)
    for field, value in wrong.items():
        file.write_text(json.dumps({**proof, field: value}))
        checked = run("prove", "--check", file, "--public", home / "public", "--json")
        assert (checked.code, checked.json["holds"]) == (1, False), field
    file.write_text(json.dumps({**proof, "extra": 1}))
    assert run("prove", "--check", file, "--public", home / "public").code == 2


def test_a_frame_in_the_place_of_another_is_not_proved(home, tmp_path):
    frames = [bytes.fromhex(run("-w", home / "world", "prove", seq).json["frame"]) for seq in (0, 2, 1)]
    proof = {
        "origin": "splittally/00", "seq": 1, "size": 3, "root": root(frames).hex(), "frame": frames[1].hex(),
        "steps": [step.hex() for step in inclusion_proof(frames, 1)], "checkpoint": "",
    }  # fmt: skip
    (tmp_path / "proof").write_text(json.dumps(proof))
    checked = run("prove", "--check", tmp_path / "proof", "--json")
    assert (checked.code, "does not say that it is frame 1" in checked.json["message"]) == (1, True)


def test_without_a_checkpoint_nothing_is_proved(home, tmp_path):
    proof = run("-w", home / "world", "prove", 3)
    (tmp_path / "proof").write_text(proof.out)
    checked = run("prove", "--check", tmp_path / "proof", "--json")
    assert (checked.code, checked.json["holds"], checked.json["signed"]) == (1, False, False)
    assert checked.json["message"].startswith("unproved")
    shown = run("prove", "--check", tmp_path / "proof")
    assert (shown.code, shown.out.startswith("unproved")) == (1, True)


def test_a_forged_frame_with_a_root_of_its_own_is_not_proved(home, tmp_path):
    frames = [bytes.fromhex(run("-w", home / "world", "prove", seq).json["frame"]) for seq in range(3)]
    frames[1] = frames[1].replace(b"operator", b"attacker")
    proof = {
        "origin": "splittally/00", "seq": 1, "size": 3, "root": root(frames).hex(), "frame": frames[1].hex(),
        "steps": [step.hex() for step in inclusion_proof(frames, 1)],
    }  # fmt: skip
    for checkpoint in ({}, {"checkpoint": ""}):
        (tmp_path / "proof").write_text(json.dumps({**proof, **checkpoint}))
        checked = run("prove", "--check", tmp_path / "proof", "--json")
        assert (checked.code, checked.json["holds"]) == (1, False)
        assert "unproved" in checked.json["message"]


def test_a_forged_frame_is_not_proved_by_a_checkpoint_of_the_journal_that_it_was_put_into(home, tmp_path):
    """Everything fits: the tree is as large, the steps lead to its root, and the signature is genuine."""
    made = run("-w", home / "world", "prove", 7, "--against", home / "signed", "--public", home / "public")
    with open_reader(home / "world") as reader:
        frames = [record.data for record in reader.records(0, made.json["size"])]
    frames[7] = frames[7].replace(b"operator", b"attacker")
    forged_ones = {
        "frame": frames[7].hex(), "root": root(frames).hex(),
        "steps": [step.hex() for step in inclusion_proof(frames, 7)],
    }  # fmt: skip
    (tmp_path / "proof").write_text(json.dumps({**made.json, **forged_ones}))
    checked = run("prove", "--check", tmp_path / "proof", "--public", home / "public", "--json")
    assert (checked.code, checked.json["holds"]) == (1, False)
    assert "not about what the checkpoint signed" in checked.json["message"]


@pytest.mark.parametrize("is_signed", [True, False])
def test_a_proof_is_read_as_strictly_as_all_json_and_the_field_is_named(home, tmp_path, is_signed):
    options = ("--against", home / "signed", "--public", home / "public") if is_signed else ()
    proof = run("-w", home / "world", "prove", 7, *options).json
    step = proof["steps"][0]
    wrong = [
        ("seq", [7.0, True, "7", -1, None, [7]]), ("size", [float(FRAMES), 1e3, "9", None]),
        ("origin", [1, None, {}]), ("checkpoint", [0, None, [], False]),
        ("root", ["", "0" * 63, "0" * 66, proof["root"].upper(), f" {proof['root']}", None, 5]),
        ("frame", [proof["frame"].upper(), proof["frame"] + "0", f"{proof['frame']} ", {"$bytes": "00"}]),
        ("steps", [step, {}, None, [step] * 65]),
        ("steps[0]", [[step.upper()], [step[:-2]], [None], [1], [[step]]]),
        ("extra", [1]),
    ]  # fmt: skip
    texts = [
        (field, json.dumps({**proof, field.partition("[")[0]: value}))
        for field, values in wrong
        for value in values
    ]
    texts += [
        (name, json.dumps({key: value for key, value in proof.items() if key != name}))
        for name in proof
        if name != "checkpoint"
    ]
    texts += [
        (name, json.dumps(proof)[:-1] + f", {json.dumps(name)}: {json.dumps(value)}}}")  # the same once more
        for name, value in proof.items()
    ]
    texts += [("", json.dumps(proof) + more) for more in ("x", "{}", json.dumps(proof))]
    for field, text in texts:
        (tmp_path / "proof").write_text(text)
        checked = run("prove", "--check", tmp_path / "proof", "--public", home / "public")
        assert checked.code == 2, (field, text)
        assert field in checked.err, (field, checked.err)
    (tmp_path / "proof").write_bytes(json.dumps(proof).encode() + b"\xff")
    assert run("prove", "--check", tmp_path / "proof", "--public", home / "public").code == 2


def test_what_is_not_there_cannot_be_proved(home):
    assert run("-w", home / "world", "prove", FRAMES).code == 2
    assert run("-w", home / "world", "prove").code == 2
