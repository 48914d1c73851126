"""Training: hard negatives (NegCLIP), distillation, and what a run did to search and to the sense of order."""
