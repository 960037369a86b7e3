"""A tokenizer whose tokens are characters: it needs no vocabulary file and no network."""

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

from mtl_lightning.errors import UserError, did_you_mean

SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
_ALPHABETS = {
    "ascii": ((0x21, 0x7F),),
    "printable": ((0x0A, 0x0B), (0x20, 0x7F)),  # the end of a line, and ASCII with the blank
    # ASCII, Latin-1 and general punctuation, CJK punctuation and ideographs, full-width forms.
    "cjk": ((0x21, 0x7F), (0xA1, 0x100), (0x2010, 0x2040), (0x3000, 0x3030), (0x4E00, 0xA000), (0xFF01, 0xFF5F)),
}


def character_tokenizer(alphabet: str = "ascii") -> PreTrainedTokenizerFast:
    """A tokenizer with one token a character, ``[CLS]`` before and ``[SEP]`` after each text.

    Args:
        alphabet: ``ascii`` (99 tokens with the special ones) or ``cjk`` (some 21,500, about as many as
            ``bert-base-chinese`` has), which drop white space; or ``printable``, for models that write: ASCII with
            blanks and ends of lines, so that what is decoded is the text. Other characters become ``[UNK]``.

    >>> tokenizer = character_tokenizer("ascii")
    >>> tokenizer.convert_ids_to_tokens(tokenizer("C=O é")["input_ids"])
    ['[CLS]', 'C', '=', 'O', '[UNK]', '[SEP]']
    >>> tokenizer = character_tokenizer("printable")
    >>> tokenizer.decode(tokenizer("no , thanks")["input_ids"], skip_special_tokens=True)
    'no , thanks'
    """
    if alphabet not in _ALPHABETS:
        hint = did_you_mean(alphabet, _ALPHABETS)
        raise UserError(f"`tokenizer` is the unknown character tokenizer '{alphabet}'; {hint}")
    ranges = _ALPHABETS[alphabet]
    tokens = [*SPECIAL, *(chr(code) for start, stop in ranges for code in range(start, stop))]
    tokenizer = Tokenizer(models.WordLevel({token: i for i, token in enumerate(tokens)}, unk_token="[UNK]"))
    if alphabet == "printable":
        tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(r"[\s\S]"), behavior="isolated")
        tokenizer.decoder = decoders.Fuse()
    else:
        tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
            [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Split(Regex("."), behavior="isolated")]
        )
    return as_fast(tokenizer)


def as_fast(tokenizer: Tokenizer) -> PreTrainedTokenizerFast:
    """A tokenizer as transformers has them, with ``[CLS]`` before and ``[SEP]`` after each text."""
    numbers = [(token, tokenizer.token_to_id(token)) for token in ("[CLS]", "[SEP]")]
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=numbers
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        clean_up_tokenization_spaces=False,
        **dict(zip(("pad_token", "unk_token", "cls_token", "sep_token", "mask_token"), SPECIAL, strict=True)),
    )
