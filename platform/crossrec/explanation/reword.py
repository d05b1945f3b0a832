"""Says a sentence in other words with a generative model of one's own, or leaves it as it is.

The model is a Hugging Face one by folder or name, causal or encoder-decoder, loaded when it is
first used; a chat template is used where its tokenizer has one. Leaves to others: the sentence
(text.py), whether new words hold (grounding.py).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from crossrec.errors import ConfigError
from crossrec.explanation.grounding import invented
from crossrec.explanation.phrases import Language

LONGER = 2
"""Tokens that other words may take, over those of the sentence; and SPARE more."""
SPARE = 16
PROMPTS: dict[Language, str] = {
    "en": "Say this in other words, with the same names and numbers and no others.\n"
    "Sentence: {sentence}\nIn other words:",
    "zh": "换一种说法，只用相同的名称和数字。\n句子：{sentence}\n换一种说法：",
}
INVENTED = "names or numbers that the figures do not hold"
UNFINISHED = "nothing, or no end"
TOO_LONG = "no room for a sentence as long"


@dataclass(frozen=True)
class Reworded:
    """What became of a sentence."""

    text: str
    kept_for: str | None = None
    """Why it stayed as it was, as what the model had; None: it is in other words."""


@dataclass(frozen=True)
class Reworder:
    """Rewords sentences; what it gives back holds no name and no number that the sentence lacks.

    Args:
        model: folder or name of a causal or an encoder-decoder language model; its weights are
            read from safetensors only.
    """

    model: str

    def __call__(self, sentence: str, language: Language = "en") -> str:
        """Other words for `sentence`, or the sentence itself, see `say`."""
        return self.say(sentence, language).text

    def say(self, sentence: str, language: Language = "en") -> Reworded:
        """Other words for `sentence`; the sentence itself, with the reason, where the model's hold
        something new, come to no end, or are none.

        Raises:
            ConfigError: the model cannot be loaded.
        """
        room = LONGER * self._length(sentence) + SPARE
        said = self.generate(PROMPTS[language].format(sentence=sentence), room)
        if said is None:
            return Reworded(sentence, TOO_LONG)
        first = next((line.strip() for line in said.splitlines() if line.strip()), "")
        if not first:
            return Reworded(sentence, UNFINISHED)
        return Reworded(sentence, INVENTED) if invented(first, sentence) else Reworded(first)

    def _length(self, text: str) -> int:
        """In tokens."""
        return len(self._loaded[0](text)["input_ids"])

    def generate(self, prompt: str, room: int) -> str | None:
        """What the model says after the prompt, by greedy search: the same each time.

        Args:
            room: tokens that it may take.

        Returns:
            Empty where it comes to no end; None where prompt and answer are more than it can read.
        """
        import torch

        tokenizer, model = self._loaded
        tokens = _tokens(tokenizer, prompt)
        n, two = tokens["input_ids"].shape[1], model.config.is_encoder_decoder
        most = getattr(model.config, "max_position_embeddings", None)
        if most is not None and (max(n, room) if two else n + room) > most:
            return None
        padding = tokenizer.pad_token_id
        with torch.inference_mode():
            out = model.generate(
                **tokens,
                max_new_tokens=room,
                do_sample=False,
                num_beams=1,
                pad_token_id=tokenizer.eos_token_id if padding is None else padding,
            )
        new = out[0][1:] if two else out[0][n:]  # a decoder begins with a token of its own
        said = str(tokenizer.decode(new, skip_special_tokens=True))
        ended = bool(torch.isin(new, torch.tensor(_ends(model))).any()) or "\n" in said.strip()
        return said if ended else ""

    @cached_property
    def _loaded(self) -> tuple[Any, Any]:
        from transformers import (
            AutoConfig,
            AutoModelForCausalLM,
            AutoModelForSeq2SeqLM,
            AutoTokenizer,
        )

        try:
            config = AutoConfig.from_pretrained(self.model)
            kind = AutoModelForSeq2SeqLM if config.is_encoder_decoder else AutoModelForCausalLM
            model = kind.from_pretrained(self.model, use_safetensors=True).eval()
            return AutoTokenizer.from_pretrained(self.model), model
        except (OSError, ValueError) as err:
            raise ConfigError(
                f"the model '{self.model}' that is to reword sentences cannot be loaded ({err});"
                " give the name or the folder of a Hugging Face language model"
            ) from err


def summary(found: Sequence[Reworded], model: str) -> str:
    """How many sentences are in other words, and why the others are not.

    >>> summary([Reworded("a"), Reworded("b", INVENTED)], "tiny")[:43]
    '1 of 2 sentences are in the words of tiny; '
    """
    kept = Counter(one.kept_for for one in found if one.kept_for is not None)
    said = f"{len(found) - kept.total()} of {len(found)} sentences are in the words of {model}"
    why = ", ".join(f"{n} where it had {reason}" for reason, n in kept.most_common())
    return f"{said}; as they were: {why}" if why else said


def _tokens(tokenizer: Any, prompt: str) -> dict[str, Any]:
    """The prompt as the model takes it; as a question of a talk where it was trained on talks."""
    if getattr(tokenizer, "chat_template", None):
        talk = [{"role": "user", "content": prompt}]
        prompt = tokenizer.apply_chat_template(talk, tokenize=False, add_generation_prompt=True)
    made = tokenizer(prompt, return_tensors="pt")
    return {name: made[name] for name in ("input_ids", "attention_mask")}


def _ends(model: Any) -> list[int]:
    """Tokens with which it ends."""
    ends = model.generation_config.eos_token_id
    if ends is None:
        ends = model.config.eos_token_id
    return ends if isinstance(ends, list) else [] if ends is None else [ends]
