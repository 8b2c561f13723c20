"""Translates an error's advice for Python, such as `labels=`, into options of the command line, such as `--labels`."""

import re
from collections.abc import Collection

# A pattern (an argument or a call that messages name), the setting that takes its place (None: the command line has
# none), and the advice for the command line.
ADVICE: tuple[tuple[str, str | None, str], ...] = (
    (r"\blabels=", "labels", "--labels entailment,neutral,contradiction (names in the order of the logits)"),
    (r"hc\.load\(\.\.\., read_at=", "read_at", "--read-at -2 (-1 is a row's last token, 0 the first)"),
    (r"\bdata_dir=", "data_dir", "--data-dir FOLDER, or --data-dir hub"),
    (r"\btemplate=", "template", "--template '{first} Question: {second} True or false?'"),
    (r"\bdevice=", "device", "--device cpu"),
    (r"\bdtype=", "dtype", "--dtype float32"),
    (r"\btokenizer=", None, "save the tokenizer's files into the model's folder: tokenizer.save_pretrained(folder)"),
    (r"\bforeign_hooks=", None, "a folder that save_pretrained wrote has no hooks: give that with --model"),
    (r"task\.fitting\(|too_long=|examples\.rows\(", "too_long", "--too-long drop"),
    (r"\bpair_kinds\(|\bkinds=", "kinds", "--kinds KIND; see hc-interp tasks"),
    (r"pair_kinds\(|task\.cases|contrast_pairs\(|\bcase=|another case", "case", "--case CASE; see hc-interp tasks"),
    (r"\bcases=|task\.cases", "cases", "--cases CASE,CASE; see hc-interp tasks"),
    (r"\bmeans=|mean_activations\(", "replace", "--replace means (or positional, zero, donors)"),
    (r"\bmax_per_case=", "max_per_case", "--max-per-case N"),
    (r"\bresume=", "resume", "--resume"),
    (r"\bout=", "out", "--out PATH"),
    (r"\bcore=", "core", "--core core.json, or --core L2H9,L3H4"),
    (r"\bgeneralizing=", "generalizing", "--generalizing generalizing.json, or heads"),
    (r"\bfound=", "searches", "--searches search.json"),
)


def on_the_command_line(message: str, settings: Collection[str]) -> str:
    """The message, and a sentence that gives its advice as options. Only options of these `settings` are named."""
    options = [
        option
        for pattern, setting, option in ADVICE
        if (setting is None or setting in settings) and re.search(pattern, message) and option.split()[0] not in message
    ]
    return f"{message} On the command line: {'; '.join(options)}." if options else message
