"""From random weights to a base model: tokenizer, packed rows, one pass of training, and what the model can do then."""

from course_lib.pretrain.run import RECIPES, Outlook, Pretrained, Recipe, outlook, prepared, pretrain, save, smaller

__all__ = ["RECIPES", "Outlook", "Pretrained", "Recipe", "outlook", "prepared", "pretrain", "save", "smaller"]
