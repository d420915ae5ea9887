"""OpenAI-compatible endpoints as writers, graders and judges."""
