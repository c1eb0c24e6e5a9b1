"""The page that shows the models and tries them, in plain HTML."""
