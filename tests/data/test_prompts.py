"""Prompts for language models, chosen for a tokenizer, and templates that write pairs of sentences as prompts."""

import re
from dataclasses import replace

import pytest
import torch
from texts import Tokens, byte_pairs, word_tokenizer

import hc_interp as hc
from hc_interp.data.encode import batches
from hc_interp.data.prompts import ioi
from hc_interp.data.roles import role_mask
from hc_interp.data.tables import PROMPT_TASKS
from hc_interp.data.template import with_template
from hc_interp.errors import DataError, LabelError
from hc_interp.metrics import MetricRows, correct

KNOWN = ioi.NAMES[:9]
QUESTION = "{first} Question: {second} True or false?"


TOKENIZER = Tokens.tokenizer


@pytest.fixture(scope="module")
def names_task():
    return hc.load_task("ioi", tokenizer=TOKENIZER, max_per_case=40)


@pytest.fixture(scope="module")
def years_task():
    return hc.load_task("greater_than", tokenizer=TOKENIZER, max_per_case=20)


def test_names_are_those_of_one_token(names_task) -> None:
    used = {word for part in (names_task.train, *names_task.cases.values()) for row in part.answer for word in row}
    assert used == {f" {name}" for name in KNOWN}
    with pytest.raises(DataError, match=r"5 of 59 names as one token \(Mary, John, Anna, Paul, Emma\); .* needs 6"):
        hc.load_task("ioi", tokenizer=byte_pairs(ioi.NAMES[:5]))


OWN_NAMES = ("Emil", "Lena", "Karl", "Otto", "Anke", "Jens", "Heike-Marie")
OWN_TEMPLATES = (
    "Als {first} und {second} kamen, gab {subject} es an",
    "Dann sah {first} wie {second} an {subject}",
)


def test_names_and_templates_may_be_ones_own() -> None:
    tokenizer = byte_pairs(OWN_NAMES[:6])
    task = hc.load_task("ioi", tokenizer=tokenizer, max_per_case=30, names=OWN_NAMES, templates=OWN_TEMPLATES)
    part = task.case("ABBA")
    for text, (answer,), (foil,), template in zip(
        part.first, part.answer, part.foil, part.units["template"], strict=True
    ):
        names = {"first": answer.strip(), "second": foil.strip(), "subject": foil.strip()}
        assert text == template[0].format(**names)
    assert {level for row in part.units["template"] for level in row} == set(OWN_TEMPLATES)
    assert {word for row in part.answer for word in row} == {f" {name}" for name in OWN_NAMES[:6]}
    assert set(part.units["place"]) == {()}  # which no template has
    assert all(source.startswith(OWN_TEMPLATES) for source in part.source)
    for case, kind in task.pairs:
        assert task.pairs[case, kind].clean.spans["s2"]
    wrong = {
        "Als {first} und {second} kamen, gab": "one each of {first}, {second} and then {subject}",
        "{first} und {second} kamen, und {subject}": "each after a space",
        "Als {subject} und {first} und {second}": "and then {subject}",
        "Als {first} und {second} und {subject} {wer}": "one each of",
        "Als {first} und {second} und {subject} ": "no space at the end",
    }
    for template, message in wrong.items():
        with pytest.raises(DataError, match=re.escape(message)):
            hc.load_task("ioi", tokenizer=tokenizer, names=OWN_NAMES, templates=[*OWN_TEMPLATES, template])
    for given in ({"names": "Emil"}, {"names": []}, {"templates": OWN_TEMPLATES[0]}):
        with pytest.raises(DataError, match=f"{next(iter(given))}=.*Expected a list of texts"):
            hc.load_task("ioi", tokenizer=tokenizer, **given)
    with pytest.raises(DataError, match=r"3 of 3 names as one token .* needs 6\. Name others, .*names="):
        hc.load_task("ioi", tokenizer=tokenizer, names=OWN_NAMES[:3])
    with pytest.raises(DataError, match="Only 'ioi' takes them"):
        hc.load_task("greater_than", tokenizer=tokenizer, names=OWN_NAMES)


@pytest.mark.parametrize("case", ioi.CASES)
def test_the_answer_is_the_name_that_is_said_once(names_task, case) -> None:
    part = names_task.case(case)
    assert len(part) == 40
    for text, (answer,), (foil,) in zip(part.first, part.answer, part.foil, strict=True):
        said = [word for word in re.findall(r"[A-Z]\w+", text) if word in KNOWN]
        assert [said.count(word.strip()) for word in (answer, foil)] == [1, 2]
        assert said == ([answer.strip(), foil.strip()] if case == "ABBA" else [foil.strip(), answer.strip()]) + [
            said[2]
        ]
        assert text.endswith(" to")


@pytest.mark.parametrize("case", ioi.CASES)
def test_corruptions(names_task, case) -> None:
    for kind in ioi.KINDS:
        pairs = names_task.contrast_pairs(case, kind)
        assert hc.encode_pairs(Tokens(), pairs).dropped == 0
        assert pairs.gold is None
        for i in range(len(pairs)):
            a, b = (re.findall(r"[A-Z]\w+", side.first[i])[1:] for side in pairs.sides)
            rest = [re.sub(r"(?<=\s)[A-Z]\w+", "_", side.first[i]) for side in pairs.sides]
            assert rest[0] == rest[1]
            if kind == "names":
                assert (b[:2], b[2]) == (a[:2], ({*a[:2]} - {a[2]}).pop())
                assert (pairs.corrupt.answer[i], pairs.corrupt.foil[i]) == (pairs.clean.foil[i], pairs.clean.answer[i])
            elif kind == "order":
                assert b == [a[1], a[0], a[2]]
                assert pairs.corrupt.answer[i] == pairs.clean.answer[i]
            else:
                assert len({*a, *b}) == 5
        assert pairs.reversible == (kind != "abc")
    assert not set(names_task.train.first) & set(names_task.case(case).first)


def test_years(years_task) -> None:
    pairs = years_task.contrast_pairs("years", "year_below")
    assert hc.encode_pairs(Tokens(), pairs).dropped == 0
    for side in pairs.sides:
        for text, answer, foil in zip(side.first, side.answer, side.foil, strict=True):
            century, year, end = re.search(r"the year (\d\d)(\d\d) to the year (\d\d)$", text).groups()
            assert century == end in ("17", "18")
            assert (min(answer) > year, max(foil)) == (True, year)
            assert len(answer) + len(foil) == 100
    assert {text[-17:-15] for text in pairs.corrupt.first} == {"01"}
    right = torch.zeros(1, len(TOKENIZER))
    right[0, TOKENIZER.convert_tokens_to_ids("99")] = 9
    part = batches(Tokens(), pairs.clean.rows([0]))[0].batch
    assert correct(right, MetricRows(torch.tensor([0]), answer=part.answer, foil=part.foil)).tolist() == [1]
    few = hc.load_task("greater_than", tokenizer=byte_pairs(years=range(1, 40)), max_per_case=5)
    assert {word for row in few.case("years").answer for word in row} <= {f"{year:02d}" for year in range(40)}
    with pytest.raises(DataError, match="splits no century's years into its first two and its last two digits"):
        hc.load_task("greater_than", tokenizer=byte_pairs(years=range(5)))


def words_at(batch, role, row) -> list[str]:
    mask = role_mask(TOKENIZER, batch, role)[row]
    return TOKENIZER.convert_ids_to_tokens(batch.input_ids[row][mask].tolist())


def test_roles_of_prompts(names_task, years_task) -> None:
    for case in ("ABBA", "BABA"):
        for kind in names_task.pair_kinds(case):
            pairs = names_task.contrast_pairs(case, kind)
            (part,) = hc.encode_pairs(Tokens(), pairs).batches
            for row, at in enumerate(part.index.tolist()):
                for side, batch in zip(pairs.sides, part[:2], strict=True):
                    found = {role: words_at(batch, role, row) for role in ("io", "s1", "s2")}
                    assert all(len(words) == 1 for words in found.values())
                    if side.answer is not None:
                        assert found["io"] == [f"Ġ{side.answer[at][0].strip()}"]
                        assert found["s1"] == found["s2"] == [f"Ġ{side.foil[at][0].strip()}"]
                    s1, s2 = (int(batch.roles[role][row].nonzero()) for role in ("s1", "s2"))
                    assert s1 < s2
    years = years_task.contrast_pairs("years", "year_below")
    (part,) = hc.encode_pairs(Tokens(), years).batches
    for row, at in enumerate(part.index.tolist()):
        noun, century, year = (words_at(part.clean, role, row) for role in ("noun", "century", "year"))
        text = years.clean.first[at]
        assert text.startswith(
            f"The {''.join(noun).replace('Ġ', '')} lasted from the year {century[0][1:]}{year[0]} to"
        )
        assert words_at(part.corrupt, "year", row) == ["01"]


def test_tasks_are_made_for_a_tokenizer() -> None:
    again = [hc.load_task("ioi", tokenizer=TOKENIZER, seed=seed, max_per_case=5).cases["ABBA"] for seed in (0, 0, 1)]
    assert again[0].fingerprint() == again[1].fingerprint() != again[2].fingerprint()
    for name in ("ioi", "greater_than"):
        with pytest.raises(DataError, match=r"made for a tokenizer, .*tokenizer=model"):
            hc.load_task(name)
        with pytest.raises(DataError, match="whose prompts are its own"):
            hc.load_task(name, tokenizer=TOKENIZER, template=QUESTION)


def test_prompts_of_a_masked_model_end_in_its_mask(monkeypatch) -> None:
    from tiny import tiny_module

    texts = [t.format(first="", second="", subject="", place="store", thing="key") for t in ioi.TEMPLATES]
    tokenizer = word_tokenizer([*texts, *KNOWN, *ioi.PLACES, *ioi.THINGS])
    tokenizer.add_special_tokens({"mask_token": "[MASK]"})
    module = tiny_module("bert-lm")
    module.resize_token_embeddings(len(tokenizer))
    model = hc.load(module, tokenizer=tokenizer)
    task = hc.load_task("ioi", tokenizer=model, max_per_case=4)
    assert all(text.endswith(" to[MASK].") for text in task.cases["ABBA"].first)
    assert hc.evaluate(model, replace(task, validation=None)).correct["ABBA"].shape == (1, 4)
    assert hc.path_effects(model, task.contrast_pairs("ABBA", "names"), "L0H0", "L1H1").effects.shape == (4, 1)


def decoder(labels=(" true", " false")):
    from tiny import tiny_module

    words = " ".join(hc.load_task("overlap-grammar", max_per_case=30).train.first[:3000])
    core = word_tokenizer([words, "Question: True or false?"])
    core.backend_tokenizer.post_processor = None or pre_post()
    module = tiny_module("gpt2-lm")
    module.resize_token_embeddings(len(core))
    return hc.load(module, tokenizer=core, labels=labels)


def pre_post():
    from tokenizers import processors

    return processors.ByteLevel(trim_offsets=False)


def test_a_template_writes_a_pair_as_one_prompt() -> None:
    plain = hc.load_task("overlap-grammar", max_per_case=12)
    task = hc.load_task("overlap-grammar", max_per_case=12, template=QUESTION)
    case = "lexical_overlap_ln_subject/object_swap"
    for got, part in ((task.train, plain.train), (task.case(case), plain.case(case))):
        expected = [f"{a} Question: {b} True or false?" for a, b in zip(part.first, part.second, strict=True)]
        assert (list(got.first), got.second) == (expected, None)
        assert (got.label, got.id, got.source, got.groups) == (part.label, part.id, part.source, part.groups)
    assert task.overlap is None
    assert task.pair_kinds(case) == plain.pair_kinds(case)
    pairs, before = (t.contrast_pairs(case, "order") for t in (task, plain))
    assert pairs.corrupt.first[0] == QUESTION.format(first=before.corrupt.first[0], second=before.corrupt.second[0])
    assert pairs.all_units == before.all_units
    model = decoder()
    with pytest.raises(DataError, match=r"right after the first, as one\. .*template="):
        hc.evaluate(model, plain, cases=[case])
    with pytest.raises(DataError, match="right after the first"):
        hc.path_effects(model, before, "L0H0", "L1H1")
    found = hc.evaluate(model, task, cases=[case])
    texts = task.case(case).first
    for row in (0, 5):
        logits = model.module(torch.tensor([model.tokenizer(texts[row])["input_ids"]])).logits[0, -1]
        yes, no = (logits[model.tokenizer.convert_tokens_to_ids(word)] for word in ("true", "false"))
        assert bool(found.correct[case][0, row]) == bool((yes > no) == (task.case(case).label[row] == 0))


@pytest.mark.parametrize("template", ["{first}", "{first} {third}", "plain", "{first} {second", 3, "{} {}"])
def test_templates_that_cannot_be(template) -> None:
    with pytest.raises(DataError, match=r"Expected a text with the fields \{first\} and \{second\}"):
        hc.load_task("overlap-grammar", template=template)
    single = hc.Task("t", train=hc.Examples(["one text"], label=[0]))
    with pytest.raises(DataError, match="no second sentences"):
        with_template(single, QUESTION)


def test_the_words_of_a_row_are_looked_up_once(monkeypatch) -> None:
    """The second call encodes no text again; a tokenizer that has learned words is asked anew."""
    from hc_interp.data import answer_tokens

    tokenizer, asked = byte_pairs(), []
    encode = answer_tokens._encoded
    monkeypatch.setattr(answer_tokens, "_encoded", lambda tok, texts: asked.extend(texts) or encode(tok, texts))
    rows = (((" Mary",),), ["When"], None, ["0"], "answer")
    first = answer_tokens.word_tokens(tokenizer, None, *rows)
    n = len(asked)
    assert torch.equal(answer_tokens.word_tokens(tokenizer, None, *rows), first)
    assert len(asked) == n == 2
    with pytest.raises(LabelError, match="' Xanadu' is"):
        answer_tokens.word_tokens(tokenizer, None, ((" Xanadu",),), ["When"], None, ["0"], "answer")
    tokenizer.add_tokens([" Xanadu"])
    token = answer_tokens.word_tokens(tokenizer, None, ((" Xanadu",),), ["When"], None, ["0"], "answer")
    assert int(token) == tokenizer.convert_tokens_to_ids(" Xanadu")


def test_kinds_of_pairs(names_task, years_task) -> None:
    for task in (names_task, years_task):
        assert {case: task.pair_kinds(case) for case in task.cases} == PROMPT_TASKS[task.name]
