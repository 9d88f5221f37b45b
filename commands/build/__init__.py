"""Parts shared by several programs: detectors, evaluation, criterion, prediction."""
