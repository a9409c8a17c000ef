"""One optimizer step of a dictionary in training: sae-lens's `SAETrainer` step, made cheap.

step = TrainStep(sae, SAETrainerConfig(...))
for batch in batches:
    result = step.step(batch)
step.state_dict()
"""

from interp.dictionaries.step.train_step import StepResult as StepResult
from interp.dictionaries.step.train_step import TrainStep as TrainStep
