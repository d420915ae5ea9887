"""Models for tests of your own: small enough to be made within a second, without weights or network.

They answer nonsense; what they show is whether a domain, an algorithm or a tool works with a real
causal language model of transformers. `FakeModel` is quicker still, and knows what its training texts
say.
"""

from selfedit.model.fake import FakeModel
from selfedit.model.tiny import byte_tokenizer, tiny_model

__all__ = ["FakeModel", "byte_tokenizer", "tiny_model"]
