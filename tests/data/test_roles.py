"""Which tokens have a role: spans through the tokenizer, special tokens, the grammar's words, prompts, batches."""

import pickle
from dataclasses import replace

import pytest
import torch
from texts import Tokens, word_tokenizer

import hc_interp as hc
from hc_interp.components import At, by_component
from hc_interp.data.encode import batches
from hc_interp.data.overlap import concatenate
from hc_interp.data.roles import role_mask, roles_everywhere, roles_mask
from hc_interp.data.template import with_template
from hc_interp.errors import ComponentError, DataError
from hc_interp.records.result import decode, encode

TOKENIZER = Tokens.tokenizer
SWAP = "lexical_overlap_ln_subject/object_swap"


class Encoder:
    """A stand-in for an encoder: its tokenizer alone."""

    labels, max_positions, device = ("a", "b"), 60, "cpu"

    def __init__(self, texts):
        self.tokenizer = word_tokenizer(texts)

    def tokenize(self, first, second=None):
        texts = (list(first),) if second is None else (list(first), list(second))
        encoded = self.tokenizer(
            *texts, padding=True, padding_side="right", return_tensors="pt", return_token_type_ids=True
        )
        return hc.Batch(encoded["input_ids"], encoded["attention_mask"], encoded["token_type_ids"])


def words_at(model, batch, role, row=0) -> list[str]:
    mask = role_mask(model.tokenizer, batch, role)[row]
    return model.tokenizer.convert_ids_to_tokens(batch.input_ids[row][mask].tolist())


def two_texts() -> hc.Examples:
    first, second = ["the tall doctor saw the judge", "an actor called"], ["the judge saw", "the old actor called"]
    spans = {
        "who": [(9, 15, "first"), [(3, 8, "first"), (8, 13, "second")]],
        "hypothesis": [(0, 13, "second"), None],
    }
    return hc.Examples(first, second, [0, 1], spans=spans)


def test_tokens_of_spans_and_of_both_texts() -> None:
    examples = two_texts()
    model = Encoder([*examples.first, *examples.second])
    (part,) = batches(model, examples)
    batch = part.batch.rows(torch.argsort(part.index))
    assert [words_at(model, batch, "who", row) for row in (0, 1)] == [["doctor"], ["actor", "actor"]]
    assert words_at(model, batch, "first_text", 1) == ["an", "actor", "called"]
    assert words_at(model, batch, "second_text", 0) == ["the", "judge", "saw"]
    assert [words_at(model, batch, role, 1) for role in ("cls", "last")] == [["[CLS]"], ["[SEP]"]]
    assert [int(role_mask(model.tokenizer, batch, "sep")[row].sum()) for row in (0, 1)] == [2, 2]
    assert words_at(model, batch.rows([0]), "hypothesis") == ["the", "judge", "saw"]
    with pytest.raises(DataError, match=r"Row '1' has no position of the role 'hypothesis'.*all have cls, sep, first"):
        role_mask(model.tokenizer, batch, "hypothesis")
    assert roles_everywhere(model.tokenizer, [batch]) == (
        ["cls", "sep", "first_text", "second_text", "last", "who"],
        {"hypothesis": "row '1'"},
    )
    both = roles_mask(model.tokenizer, batch, ("who", "cls"))
    assert torch.equal(both, role_mask(model.tokenizer, batch, "who") | role_mask(model.tokenizer, batch, "cls"))
    assert role_mask(model.tokenizer, batch, "who") is role_mask(model.tokenizer, batch, "who")  # computed once
    single = model.tokenize(["the judge saw"])
    assert words_at(model, single, "first_text") == ["the", "judge", "saw"]
    with pytest.raises(DataError, match="Row 0 has no position of the role 'second_text'"):
        role_mask(model.tokenizer, single, "second_text")


def test_words_of_several_tokens_and_spaces_before_them() -> None:
    text = "When Zebedee met Mary"
    examples = hc.Examples([text], spans={"who": [(5, 12)], "met": [(12, 16)]}, answer=[" a"], foil=[" b"])
    (part,) = batches(Tokens(), examples, with_labels=False)
    pieces = words_at(Tokens(), part.batch, "who")
    assert len(pieces) > 1
    assert "".join(pieces) == "Zebedee"  # this tokenizer has its space as a token of its own
    assert words_at(Tokens(), part.batch, "last") == ["ĠMary"]
    assert int(role_mask(TOKENIZER, part.batch, "first_text").sum()) == part.batch.input_ids.shape[1]
    with pytest.raises(DataError, match="no position of the role 'cls'"):
        role_mask(TOKENIZER, part.batch, "cls")


def test_spans_stay_with_their_rows() -> None:
    examples = two_texts()
    assert examples.rows([1, 0]).spans["who"] == (((3, 8, "first"), (8, 13, "second")), ((9, 15, "first"),))
    assert examples.sample(1, 3).spans["who"][0] in examples.spans["who"]
    assert pickle.loads(pickle.dumps(examples)).spans == examples.spans
    assert replace(examples, label=[1, 1]).spans == examples.spans
    bare = hc.Examples(examples.first, examples.second, [0, 1])
    assert concatenate([bare, examples]).spans["hypothesis"] == ((), (), ((0, 13, "second"),), ())
    assert concatenate([bare, bare]).spans is None
    assert bare.fingerprint() != examples.fingerprint()
    pairs = hc.ContrastPairs(examples, examples, gold=[0, 1])
    assert pairs.rows([1]).clean.spans["who"] == (examples.spans["who"][1],)
    assert pairs.reversed().clean.spans == examples.spans
    model = Encoder([*examples.first, *examples.second])
    (one,) = hc.encode_pairs(model, hc.ContrastPairs(examples, bare, gold=[0, 1])).batches
    for role in ("who", "hypothesis"):
        assert torch.equal(one.clean.roles[role], one.corrupt.roles[role])  # the other side's, where one names none


def test_batches_keep_roles() -> None:
    ids = torch.tensor([[5, 6, 7, 1], [5, 6, 1, 1]])
    mask = torch.tensor([[1, 1, 1, 0], [1, 1, 0, 0]])
    batch = hc.Batch(ids, mask, roles={"a": torch.tensor([[1, 0, 1, 0], [0, 1, 1, 0]])})
    assert batch.roles["a"].tolist() == [[True, False, True, False], [False, True, False, False]]  # not at padding
    assert batch.rows([1, 0]).roles["a"].tolist() == [[False, True, False, False], [True, False, True, False]]
    assert batch.trim().roles["a"].shape == (2, 3)
    assert batch.padded_to(6, 1).roles["a"].shape == (2, 6)
    bare = replace(batch, roles=None)
    joined = hc.Batch.join([batch.trim(), bare], 1)
    assert joined.roles["a"].tolist() == [*batch.roles["a"].tolist(), *torch.zeros(2, 4).bool().tolist()]
    assert hc.Batch.of_rows(batch.token_rows(), 1).roles["a"].tolist() == [[True, False, True], [False, True, False]]
    assert batch.fingerprint() != bare.fingerprint()
    assert role_mask(None, batch, "last").tolist() == [[False, False, True, False], [False, True, False, False]]
    with pytest.raises(DataError, match=r"Batch.roles\['a'\] has shape \(4,\)"):
        hc.Batch(ids, roles={"a": torch.ones(4)})
    with pytest.raises(DataError, match=r"Batch\.roles"):
        hc.Batch(ids, roles={"a": torch.full((2, 4), 0.5)})


@pytest.mark.parametrize(
    ("spans", "error", "message"),
    [
        ({"who": [(0, 3, "first")]}, DataError, "1 entries for the role 'who' and 2 rows"),
        (
            {"who": [(0, 3), (0, 3)]},
            DataError,
            r"holds \(0, 3\) for the role 'who' in row 0. Expected \(start, end, \"f",
        ),
        ({"who": [(0, 3, "third"), None]}, DataError, "role 'who' in row 0"),
        ({"who": [None, (3, 3, "first")]}, DataError, r"holds \(3, 3, 'first'\) for the role 'who' in row 1"),
        ({"who": [None, (0, 99, "first")]}, DataError, "inside its texts 'an actor called' and 'the old actor called'"),
        ({"who": [None, (0, 2.5, "first")]}, DataError, "2.5"),
        ({"who": ["the", None]}, DataError, "holds 'the'"),
        ({"cls": [None, None]}, DataError, "names the role 'cls', whose positions the tokens of a row decide"),
        ({"a b": [None, None]}, ComponentError, "'a b' names no role"),
    ],
)
def test_spans_that_do_not_fit(spans, error, message) -> None:
    examples = two_texts()
    with pytest.raises(error, match=message):
        replace(examples, spans=spans)


def test_components_at_roles() -> None:
    at = hc.Head(2, 9).at("subject")
    assert (str(at), repr(at), at.layer) == ("L2H9@subject", "L2H9@subject", 2)
    assert hc.component("L2H9@subject") == hc.component(" l2h9 @ subject ") == at != hc.Head(2, 9)
    assert len({at, hc.component("L2H9@subject"), hc.Head(2, 9)}) == 2
    assert hc.component("embed@first_text") == hc.EMBED.at("first_text")
    ordered = [hc.Head(0, 1).at("b"), hc.Head(0, 2).at("a"), hc.Head(1, 0).at("a"), hc.Head(1, 0).at("b")]
    assert sorted([ordered[i] for i in (2, 0, 3, 1)]) == ordered
    assert pickle.loads(pickle.dumps(at)) == at
    assert decode(encode({at: (at,)})) == {at: (at,)}
    assert by_component([at, hc.MLP(0), hc.MLP(0).at("x"), hc.Head(2, 9).at("a")]) == {
        hc.Head(2, 9): ("a", "subject"),
        hc.MLP(0): (),
    }
    for name in ("L2H9@", "L2H9@a b", "L2H9@a@b", "L2H9@a+b", "@a", "L2H9@3", "output@a"):
        with pytest.raises(ComponentError):
            hc.component(name)
    with pytest.raises(ComponentError, match="L2H9@a was given the role 'b'"):
        At(hc.Head(2, 9).at("a"), "b")
    with pytest.raises(ComponentError, match="A subnetwork was given L0H0@a, a component at a role"):
        hc.Subnetwork(["L0H0@a"], ["L0H0", "L0H1"])


def test_roles_of_the_grammar() -> None:
    task = hc.load_task("overlap-grammar", max_per_case=30)
    pairs = task.contrast_pairs(SWAP, "order")
    model = Encoder([text for side in pairs.sides for text in (*side.first, *side.second)])
    (part,) = hc.encode_pairs(model, pairs).batches
    for row in range(len(pairs)):
        at = part.index[row]
        for side, batch in ((pairs.clean, part.clean), (pairs.corrupt, part.corrupt)):
            premise, hypothesis = side.first[at].lower(), side.second[at].lower()
            subject, verb, other = (words_at(model, batch, role, row) for role in ("subject", "verb", "object"))
            assert f"the {subject[0]} {verb[0]} the {other[0]}." == hypothesis
            for role, words in (("subject", subject), ("verb", verb), ("object", other)):
                assert words_at(model, batch, f"premise_{role}", row) == words
                where = role_mask(model.tokenizer, batch, f"premise_{role}") & batch.token_type_ids.bool()
                assert not where.any()
                assert words[0] in premise
        moved = role_mask(model.tokenizer, part.clean, "moved")[row]
        assert torch.equal(moved, part.clean.input_ids[row] != part.corrupt.input_ids[row])
    replaced = task.contrast_pairs(SWAP, "overlap")
    (part,) = hc.encode_pairs(
        model := Encoder([t for s in replaced.sides for t in (*s.first, *s.second)]), replaced
    ).batches
    where = role_mask(model.tokenizer, part.clean, "replaced")
    assert torch.equal(where, part.clean.input_ids != part.corrupt.input_ids)
    assert set(task.case(SWAP).spans) == {f"{p}{r}" for p in ("", "premise_") for r in ("subject", "verb", "object")}


def test_roles_in_a_template() -> None:
    examples = two_texts()
    task = hc.Task("two", cases={"c": examples})
    prompts = with_template(task, "{first}? {second}! Is {second} true:").cases["c"]
    model = Tokens()
    (part,) = batches(model, prompts, with_labels=False)
    batch = part.batch.rows(torch.argsort(part.index))

    def text(role, row):
        return "".join(words_at(model, batch, role, row)).replace("Ġ", " ").strip()

    assert text("first_text", 0) == examples.first[0]
    assert text("second_text", 1) == 2 * examples.second[1]
    assert [text("who", row) for row in (0, 1)] == ["doctor", "actoractoractor"]
    with pytest.raises(DataError, match="writes the first sentence in another form"):
        with_template(task, "{first!r} {second}")
