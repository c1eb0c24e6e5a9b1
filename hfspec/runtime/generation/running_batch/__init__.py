"""A batch that prompts join while it runs, and leave when their answers have ended.

The prompts that join together with the same settings are a cohort: generate() prepares it and reads its prompts, and it
keeps the settings' processors of scores and its ends. One forward pass a step is for the rows of all cohorts: their
keys and values lie in one cache, padded on the left like the prompts of one batch.
"""
