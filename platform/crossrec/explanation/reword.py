"""Says a sentence in other words with a generative model of one's own, or leaves it as it is.

The model is a Hugging Face one by name or path, loaded when it is first used. Leaves to others: the
sentence (text.py), whether new words hold (grounding.py).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

from crossrec.errors import ConfigError
from crossrec.explanation.grounding import invented
from crossrec.explanation.phrases import Language

MAX_NEW_TOKENS = 80
_PROMPTS: dict[Language, str] = {
    "en": "Say this in other words, with the same names and numbers and no others.\n"
    "Sentence: {sentence}\nIn other words:",
    "zh": "换一种说法，只用相同的名称和数字。\n句子：{sentence}\n换一种说法：",
}


@dataclass(frozen=True)
class Reworder:
    """Rewords sentences; what it gives back holds no name and no number that the sentence lacks.

    Args:
        model: name or folder of a causal or an encoder-decoder language model.
    """

    model: str

    def __call__(self, sentence: str, language: Language = "en") -> str:
        """Other words for `sentence`; the sentence itself where the model's hold something new,
        or nothing.

        Raises:
            ConfigError: the model cannot be loaded.
        """
        said = self.generate(_PROMPTS[language].format(sentence=sentence))
        first = next((line.strip() for line in said.splitlines() if line.strip()), "")
        return first if first and not invented(first, sentence) else sentence

    def generate(self, prompt: str) -> str:
        """What the model says after the prompt, by greedy search: the same each time."""
        import torch

        tokenizer, model = self._loaded
        tokens = tokenizer(prompt, return_tensors="pt")
        with torch.inference_mode():
            out = model.generate(
                **tokens,
                max_new_tokens=MAX_NEW_TOKENS,
                do_sample=False,
                pad_token_id=tokenizer.pad_token_id or tokenizer.eos_token_id or 0,
            )
        new = out[0] if model.config.is_encoder_decoder else out[0][tokens["input_ids"].shape[1] :]
        return str(tokenizer.decode(new, skip_special_tokens=True))

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
