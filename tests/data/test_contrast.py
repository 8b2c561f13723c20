"""Pairs keep their meaning when cut, swapped or split, and an unaligned pair is found, named or counted."""

import re
from types import SimpleNamespace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from hc_interp.data.align import encode_pairs
from hc_interp.data.batch import Batch
from hc_interp.data.contrast import ContrastPairs, split_of
from hc_interp.data.encode import in_order
from hc_interp.data.examples import Examples
from hc_interp.data.labels import resolve_groups
from hc_interp.data.load import load_task
from hc_interp.errors import AlignmentError, DataError, LabelError

NLI = ("entailment", "neutral", "contradiction")
ONE_PIECE = ["doctor", "lawyer", "actor", "judge"]
TWO_WAY = ((0,), (1, 2))


def swap_pairs(nouns, unaligned="error", **fields):
    """ "the A saw the B" / "the B saw the A", with premise "the A saw the B"."""
    premises = [f"the {a} saw the {b} ." for a, b in nouns]
    swapped = [f"the {b} saw the {a} ." for a, b in nouns]
    shared = {"source": [" ".join(sorted(pair)) for pair in nouns], "groups": TWO_WAY, "classes": NLI}
    ids = [f"p{i}" for i in range(len(nouns))]
    clean = Examples(premises, swapped, [1] * len(nouns), ids, **shared)
    corrupt = Examples(premises, premises, [0] * len(nouns), ids, **shared)
    return ContrastPairs(clean, corrupt, clean.label, kind="order", unaligned=unaligned, **fields)


NOUNS = st.lists(st.tuples(st.sampled_from(ONE_PIECE), st.sampled_from(ONE_PIECE)), min_size=1, max_size=15)
MIXED = st.lists(st.tuples(*[st.sampled_from([*ONE_PIECE, "zoo", "spy", "seers"])] * 2), min_size=1, max_size=15)


@given(nouns=NOUNS)
def test_reversed_twice_is_the_same(nouns):
    pairs = swap_pairs(nouns)
    back = pairs.reversed().reversed()
    assert back.fingerprint() == pairs.fingerprint()
    assert (back.gold, back.ids, back.sources) == (pairs.gold, pairs.ids, pairs.sources)
    assert pairs.reversed().gold == (0,) * len(nouns)
    assert pairs.reversed().clean.first == pairs.corrupt.first


@given(nouns=NOUNS)
def test_split_is_disjoint_complete_and_by_source(nouns):
    pairs = swap_pairs(nouns)
    select, test = pairs.by_split("select"), pairs.by_split("test")
    assert sorted(select.ids + test.ids) == sorted(pairs.ids)
    assert not set(select.sources) & set(test.sources)
    assert (select.split, test.split) == ("select", "test")


def test_split_is_stable_and_about_half():
    sides = [split_of(f"source {i}") for i in range(2000)]
    assert 900 < sides.count("select") < 1100
    # Recorded: a change of the hash would move pairs between runs that select and runs that test.
    assert [name for name in "abcdef" if split_of(name) == "select"] == ["a", "e", "f"]


def test_split_of_a_split():
    test = swap_pairs([(a, b) for a in ONE_PIECE for b in ONE_PIECE]).by_split("test")
    assert test.by_split("test") is test
    with pytest.raises(DataError, match="'test' split; a 'select' split cannot"):
        test.by_split("select")
    with pytest.raises(DataError, match="split='train'"):
        test.by_split("train")


@settings(deadline=None, max_examples=40)
@given(nouns=MIXED, size=st.integers(1, 6))
def test_encoding_keeps_exactly_the_aligned_pairs(model, nouns, size):
    """Twin: a swap of two nouns is aligned when both have as many pieces."""
    good = [len(model.tokenizer.tokenize(a)) == len(model.tokenizer.tokenize(b)) for a, b in nouns]
    pairs = swap_pairs(nouns, unaligned="drop")
    if not any(good):
        with pytest.raises(AlignmentError, match=f"None of the {len(nouns)} pairs"):
            encode_pairs(model, pairs)
        return
    encoded = encode_pairs(model, pairs, batch_size=size)
    kept = [i for i, ok in enumerate(good) if ok]
    assert encoded.dropped == len(nouns) - len(kept) == pairs.aligned(model).dropped
    assert encoded.kept_ids == tuple(f"p{i}" for i in kept)
    assert encoded.sources == tuple(pairs.sources[i] for i in kept)
    for batch in encoded.batches:
        assert torch.equal(batch.clean.attention_mask, batch.corrupt.attention_mask)
        assert batch.clean.ids == batch.corrupt.ids == tuple(encoded.kept_ids[i] for i in batch.index.tolist())
        assert torch.equal(batch.clean.labels, torch.ones(len(batch.index), dtype=torch.long))
        for row, place in enumerate(batch.index.tolist()):
            n = int(batch.clean.attention_mask[row].sum())
            for given_batch, part in ((batch.clean, pairs.clean), (batch.corrupt, pairs.corrupt)):
                (text,) = part.rows([kept[place]]).second
                (ids,) = model.tokenize([part.first[kept[place]]], [text]).input_ids.tolist()
                assert given_batch.input_ids[row, :n].tolist() == ids
    order = in_order([b.index for b in encoded.batches], [b.index for b in encoded.batches])
    assert order.tolist() == list(range(len(kept)))


def test_a_users_unaligned_pair_is_named_with_its_position(model):
    pairs = swap_pairs([("doctor", "judge"), ("doctor", "spy")])
    # [CLS] the doctor saw the s ##p ##y . [SEP] the s ##p ##y ...: position 12 is the clean spy's second piece.
    message = r"Pair p1 is not aligned: at position 12 clean has '##p', corrupt 'saw'"
    with pytest.raises(AlignmentError, match=message):
        encode_pairs(model, pairs)
    with pytest.raises(AlignmentError, match="Pair p1"):
        pairs.aligned(model)


@pytest.mark.parametrize(
    ("clean", "corrupt", "message"),
    [
        ("the doctor saw", "the doctor saw the", r"position 4 clean has '\[SEP\]', corrupt 'the'"),
        ("the doctor saw .", "the doctor. saw", r"position 3 clean has 'saw', corrupt '\.'"),  # words between spaces
        ("old ox", "xo old", r"position 2 clean has 'o', corrupt '##o'"),  # equal lengths, unequal pieces in place
    ],
)
def test_misaligned_texts(model, clean, corrupt, message):
    pairs = ContrastPairs(Examples([clean]), Examples([corrupt]), [0])
    with pytest.raises(AlignmentError, match=message):
        encode_pairs(model, pairs)


def test_words_of_equal_length_with_another_split_between_texts(model):
    pairs = ContrastPairs(Examples(["the old"], ["red"]), Examples(["the"], ["old red"]), [0])
    with pytest.raises(AlignmentError, match=r"position 2 clean has 'old', corrupt '\[SEP\]'"):
        encode_pairs(model, pairs)


@pytest.mark.parametrize("splitter", ["bytes", "none"])
def test_language_model_tokenizers(splitter):
    """A byte-level BPE splits words in its own way; a tokenizer without a word splitter takes a text for one word."""
    core = Tokenizer(models.BPE())
    core.pre_tokenizer = (
        pre_tokenizers.ByteLevel(add_prefix_space=False)
        if splitter == "bytes"
        else pre_tokenizers.Metaspace(prepend_scheme="never", split=False)
    )
    texts = ["the doctor saw the judge ."]  # vocab_size=1: a token for each letter
    core.train_from_iterator(texts, trainers.BpeTrainer(vocab_size=1, show_progress=False))
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=core, pad_token=".")

    def tokenize(first, second=None):
        encoded = tokenizer(first, padding=True, return_tensors="pt")
        return Batch(encoded["input_ids"], encoded["attention_mask"])

    model = SimpleNamespace(tokenizer=tokenizer, tokenize=tokenize, max_positions=64, device="cpu")
    same = ContrastPairs(Examples(["the doctor saw"]), Examples(["the doctor saw"]), [0])
    assert encode_pairs(model, same).dropped == 0
    moved = ContrastPairs(Examples(["the o ct"]), Examples(["the oc t"]), [0])
    assert len(tokenizer("the o ct")["input_ids"]) == len(tokenizer("the oc t")["input_ids"])
    with pytest.raises(AlignmentError, match=r"Pair 0 is not aligned: at position \d clean has"):
        encode_pairs(model, moved)


def test_a_model_that_lays_out_otherwise_than_its_tokenizer(model):
    """Alignment is also checked on the batch that the model gets, which can differ from the tokenizer's output."""

    def tokenize(first, second=None):
        return model.tokenize([text.replace("judge", "the judge") for text in first], second)

    odd = SimpleNamespace(tokenizer=model.tokenizer, tokenize=tokenize, max_positions=64, device="cpu")
    pairs = ContrastPairs(Examples(["the judge"]), Examples(["the actor"]), [0])
    with pytest.raises(AlignmentError):
        encode_pairs(odd, pairs)


def test_identical_sides_are_allowed(model):
    part = Examples(["the doctor saw ."], ["the doctor ."], [1])
    encoded = encode_pairs(model, ContrastPairs(part, part, [1]))
    assert encoded.dropped == 0
    assert torch.equal(encoded.batches[0].clean.input_ids, encoded.batches[0].corrupt.input_ids)


def as_batches(model, pairs):
    clean = model.tokenize(pairs.clean.first, pairs.clean.second)
    corrupt = model.tokenize(pairs.corrupt.first, pairs.corrupt.second)
    return clean, corrupt


def test_pairs_of_batches_encode_like_pairs_of_texts(model):
    pairs = swap_pairs([("doctor", "judge"), ("actor", "lawyer"), ("judge", "actor")])
    clean, corrupt = as_batches(model, pairs)
    given_batches = ContrastPairs(clean, corrupt, torch.tensor(pairs.gold), groups=[[0], [1, 2]], ids=pairs.ids)
    encoded = encode_pairs(model, given_batches, batch_size=2)
    assert [b.index.tolist() for b in encoded.batches] == [[0, 1], [2]]
    together = torch.cat([b.corrupt.input_ids for b in encoded.batches])
    assert torch.equal(together, corrupt.input_ids)
    assert encoded.sources == pairs.ids
    with pytest.raises(DataError, match="corrupt side has no labels"):
        given_batches.reversed()


def test_batches_with_labels_reverse(model):
    one, two = Batch(torch.ones(2, 3, dtype=torch.long)), Batch(torch.ones(2, 3, dtype=torch.long), labels=[1, 0])
    turned = ContrastPairs(one, two, [0, 1]).reversed()
    assert turned.gold == (1, 0)
    assert turned.clean is two


def test_batches_of_different_shape_mask_or_separators(model):
    ones = torch.ones(2, 4, dtype=torch.long)
    with pytest.raises(AlignmentError, match=r"\(2, 4\), the corrupt one \(2, 3\)"):
        ContrastPairs(Batch(ones), Batch(ones[:, :3]), [0, 0])
    mask = ones.clone()
    mask[1, 3] = 0
    with pytest.raises(AlignmentError, match=r"Pair b is not aligned: at position 3"):
        ContrastPairs(Batch(ones, ids=["a", "b"]), Batch(ones, mask), [0, 0])
    sep = model.tokenizer.sep_token_id
    tokens = [2, 4, 5, sep, 6, sep]
    moved = [2, 4, sep, 5, 6, sep]
    pairs = ContrastPairs(Batch(torch.tensor([tokens])), Batch(torch.tensor([moved])), [0], ids=["x"])
    with pytest.raises(AlignmentError, match=r"Pair x .* position 2 .*corrupt '\[SEP\]'"):
        encode_pairs(model, pairs)
    types = torch.tensor([[0, 0, 0, 0, 1, 1]])
    other = torch.tensor([[0, 0, 0, 1, 1, 1]])
    typed = [Batch(torch.tensor([tokens]), token_type_ids=t) for t in (types, other)]
    with pytest.raises(AlignmentError, match="position 3"):
        encode_pairs(model, ContrastPairs(*typed, [0]))


@pytest.mark.parametrize(
    ("fields", "error", "message"),
    [
        ({"corrupt": Examples(["a"])}, DataError, "different sizes"),
        ({"gold": [0]}, DataError, "different sizes"),
        ({"ids": ["x"]}, DataError, "different sizes"),
        ({"ids": ["x", "x"]}, DataError, "'x' occurs more than once"),
        ({"corrupt": Batch(torch.ones(2, 3, dtype=torch.long))}, DataError, "Examples and a Batch"),
        ({"clean": "text"}, DataError, "str and a Examples"),
        ({"gold": [0, 5], "groups": TWO_WAY}, LabelError, r"gold has label 5 in row 1 \(id 1\)"),
        ({"gold": [0, 0]}, LabelError, "Pair 1 has gold 0, but its clean side is labelled 1"),
        ({"gold": ["a", "b"]}, DataError, r"gold holds 'a'; expected whole numbers.* Pass classes="),
        ({"gold": ["y", "z"], "classes": ("x", "y")}, LabelError, "gold has labels named 'z'.*names of 'x', 'y'"),
        ({"unaligned": "ignore"}, DataError, "expected 'error' or 'drop'"),
        ({"classes": NLI, "corrupt": Examples(["a", "b"], classes=("x", "y"))}, LabelError, "one list of names"),
    ],
)
def test_bad_pairs(fields, error, message):
    part = Examples(["a", "b"], label=[0, 1])
    with pytest.raises(error, match=message):
        ContrastPairs(**{"clean": part, "corrupt": Examples(["a", "b"]), "gold": [0, 1], **fields})


def test_gold_may_be_names_of_classes():
    clean, corrupt = (Examples(["a", "b"], label=[0, 1], classes=("F", "W")) for _ in range(2))
    assert ContrastPairs(clean, corrupt, gold=["F", "W"]).gold == (0, 1)
    plain = Examples(["a", "b"], label=[0, 1])
    assert ContrastPairs(plain, plain, gold=["F", "W"], classes=("F", "W")).gold == (0, 1)
    two_way = Examples(["a", "b"], label=[0, 1], classes=NLI, groups=TWO_WAY)
    assert ContrastPairs(two_way, two_way, gold=["entailment", "contradiction"]).gold == (0, 1)
    with pytest.raises(LabelError, match="has gold 1, but its clean side is labelled 0"):
        ContrastPairs(clean, corrupt, gold=["W", "W"])


def test_rows_ids_and_classes():
    pairs = swap_pairs([("doctor", "judge"), ("actor", "lawyer"), ("judge", "actor")])
    picked = pairs.rows([2, 0])
    assert picked.ids == ("p2", "p0")
    assert picked.clean.first[0].startswith("the judge")
    assert len(pairs.rows(slice(1, None))) == 2
    assert resolve_groups(("contradiction", "entailment", "neutral"), pairs) == ((1,), (0, 2))
    assert pairs.fingerprint() != pairs.reversed().fingerprint() != picked.fingerprint()


def test_fingerprints_of_pairs_of_batches_see_both_sides():
    clean, corrupt = Batch(torch.tensor([[1, 2]])), Batch(torch.tensor([[1, 3]]))
    pairs = ContrastPairs(clean, corrupt, [0])
    assert pairs.fingerprint() == ContrastPairs(clean.rows([0]), corrupt.rows([0]), [0]).fingerprint()
    others = [
        ContrastPairs(clean, clean, [0]),
        ContrastPairs(corrupt, corrupt, [0]),
        ContrastPairs(clean, corrupt, [1]),
    ]
    assert len({p.fingerprint() for p in [pairs, *others]}) == 4


def test_unlabelled_or_otherwise_labelled_corrupt_side_cannot_be_reversed():
    part = Examples(["a"], label=[1], groups=TWO_WAY)
    three_way = Examples(["b"], label=[2], groups=[[0], [1], [2]])
    for corrupt in (Examples(["b"]), three_way):
        with pytest.raises(DataError, match="cannot be reversed"):
            ContrastPairs(part, corrupt, [1]).reversed()


def test_no_pairs_or_too_long_or_slow_tokenizer(model, short_model, no_pad_model):
    with pytest.raises(DataError, match="no pairs of kind 'order'"):
        encode_pairs(model, swap_pairs([]))
    with pytest.raises(DataError, match=r"12 positions .*ids p0"):
        encode_pairs(short_model, swap_pairs([("doctor", "judge")]))
    with pytest.raises(DataError, match="Load a fast tokenizer"):
        encode_pairs(no_pad_model, swap_pairs([("doctor", "judge")]))


def test_pairs_as_a_table_and_in_words():
    clean = Examples(["the doctor saw the actor", "a b"], ["the doctor saw", "c"], [0, 1], ["x", "y"])
    corrupt = Examples(["the actor saw the doctor", "b a"], ["the doctor saw", "c"], [1, 0])
    pairs = ContrastPairs(clean, corrupt, [0, 1], kind="order")
    table = pairs.to_frame()
    assert list(table) == ["id", "clean_first", "clean_second", "corrupt_first", "corrupt_second", "gold"]
    assert list(table.loc[1]) == ["y", "a b", "c", "b a", "c", 1]
    shown = "'the doctor saw the actor' / 'the doctor saw' -> 'the actor saw the doctor' / 'the doctor saw'"
    assert shown in repr(pairs)
    assert "->" not in repr(pairs.rows([]))
    single = ContrastPairs(Examples(["a"]), Examples(["b"]), [0])
    assert list(single.to_frame()) == ["id", "clean_first", "corrupt_first", "gold"]


@given(st.integers(0, 12), st.integers(0, 5))
def test_samples_of_pairs_are_named_by_their_seed(n, seed):
    texts = [f"text {i}" for i in range(9)]
    pairs = ContrastPairs(Examples(texts), Examples(texts[::-1]), [0] * 9)
    found = pairs.sample(n, seed)
    assert len(found) == min(n, 9)
    assert list(found.ids) == sorted(set(found.ids), key=int)
    assert found.ids == pairs.sample(n, seed).ids
    assert found.corrupt.first == tuple(texts[8 - int(name)] for name in found.ids)


def test_no_table_of_tokens_and_no_negative_sample(model):
    pairs = ContrastPairs(model.tokenize(["the doctor"]), model.tokenize(["the actor"]), [0])
    with pytest.raises(DataError, match="two Batch objects"):
        pairs.to_frame()
    with pytest.raises(DataError, match="sample of -1 pairs"):
        pairs.sample(-1)


def test_what_was_dropped_is_not_forgotten(model):
    pairs = swap_pairs([("doctor", "lawyer"), ("zoo", "seers"), ("actor", "judge")], unaligned="drop")
    once = pairs.aligned(model)
    assert (len(once), once.dropped) == (2, 1)
    assert once.aligned(model).dropped == once.rows([0]).aligned(model).dropped == 1
    assert encode_pairs(model, once).dropped == 1


def test_units_are_those_of_both_sides_and_follow_the_rows() -> None:
    clean = Examples(["a", "b"], ["c", "d"], [0, 1], units={"verb": ["saw", ["met", "saw"]]})
    corrupt = Examples(["a", "b"], ["e", "f"], [1, 0], units={"verb": ["hit", "met"], "noun": ["cat", []]})
    pairs = ContrastPairs(clean, corrupt, [0, 1])
    assert pairs.units == {"verb": (("saw", "hit"), ("met", "saw")), "noun": (("cat",), ())}
    assert pairs.rows([1]).reversed().all_units == {"source": (("b",),), "verb": (("met", "saw"),), "noun": ((),)}
    own = ContrastPairs(clean, corrupt, [0, 1], units={"template": ["t", "t"]})
    assert own.units == {"template": (("t",), ("t",))}
    with pytest.raises(DataError, match="'verb' has 1 entries for 2 rows"):
        ContrastPairs(clean, corrupt, [0, 1], units={"verb": ["saw"]})


def test_pairs_of_rules_name_template_verbs_and_nouns() -> None:
    task = load_task("overlap-grammar", max_per_case=20)
    pairs = task.contrast_pairs("lexical_overlap_ln_subject/object_swap", "overlap")
    row = pairs.to_frame().iloc[0]
    words = {word.strip(".").lower() for word in f"{row.clean_first} {row.clean_second} {row.corrupt_second}".split()}
    assert set(pairs.units["verb"][0]) <= words
    assert len(pairs.units["noun"][0]) == 3  # two of the premise, and the word that replaces one
    templates = {template for rows in pairs.units["template"] for template in rows}
    assert {"the A T the B TIME -> the A T the B"} < templates
    assert all(re.fullmatch(r"([A-Z]{4,} )?the A T the B( [A-Z]{4,})? -> the A T the B", name) for name in templates)


def test_splits_that_are_given_go_before_the_hash_of_the_source():
    first = [f"a{n} b" for n in range(6)]
    side = Examples(first, label=[0] * 6)
    splits = ["test" if split_of(source) == "select" else "select" for source in first]  # the other way round
    pairs = ContrastPairs(side, side, [0] * 6, splits=splits)
    hashed = ContrastPairs(side, side, [0] * 6)
    assert pairs.by_split("test").ids == hashed.by_split("select").ids
    assert pairs.by_split("select").ids == hashed.by_split("test").ids
    assert pairs.rows([3, 1]).splits == (splits[3], splits[1])
    turned = ContrastPairs(side, side, [0] * 6, splits=splits[::-1])
    assert len({pairs.fingerprint(), hashed.fingerprint(), turned.fingerprint()}) == 3
    with pytest.raises(DataError, match=r"splits holds 'dev'; expected 'select' or 'test'"):
        ContrastPairs(side, side, [0] * 6, splits=["dev"] * 6)
    with pytest.raises(DataError, match=r"sides of different sizes.*'splits': 2"):
        ContrastPairs(side, side, [0] * 6, splits=["test"] * 2)
