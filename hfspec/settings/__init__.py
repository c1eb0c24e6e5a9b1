"""The settings of a call: their precedence, and what they mean together; the same for plan and predict."""
