"""Better recipes, and digitlab inside the tools that search for them: the scikit-learn estimator, `digitlab tune`."""
