"""Adapting language models on the hardware you have: the code behind the notebooks.

Rooms are named after lessons; what two lessons share lies on a floor below them. Importing this package imports
nothing heavy: torch and transformers are loaded by the rooms that need them.
"""

__version__ = "0.1.0"
