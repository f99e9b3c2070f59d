"""Learn from multi-lead electrocardiograms with few labels, inside scikit-learn."""
