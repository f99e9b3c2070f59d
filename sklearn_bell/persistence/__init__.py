"""Save and load fitted estimators: safetensors and JSON, no code runs when a file is read."""

from sklearn_bell.persistence._models import load

__all__ = ["TRUSTED_TYPES", "load"]

#: Qualified names of all estimator classes of this library, which skops does not trust by itself:
#: ``skops.io.load(path, trusted=TRUSTED_TYPES)``. Loading them runs no code from the file.
TRUSTED_TYPES = (
    "sklearn_bell.classification._classifier.ECGClassifier",
    "sklearn_bell.feature_extraction.ECGFeatures",
    "sklearn_bell.over_sampling._sampler.VQVAEOverSampler",
    "sklearn_bell.preprocessing._transformers.BandpassFilter",
    "sklearn_bell.preprocessing._transformers.Cropper",
    "sklearn_bell.preprocessing._transformers.LeadSelector",
    "sklearn_bell.preprocessing._transformers.RecordScaler",
    "sklearn_bell.preprocessing._transformers.Resampler",
    "sklearn_bell.pretraining._barlow_twins.BarlowTwinsPretrainer",
    "sklearn_bell.pretraining._bell.BELLPretrainer",
    "sklearn_bell.pretraining._byol.BYOLPretrainer",
    "sklearn_bell.pretraining._clocs.CLOCSPretrainer",
    "sklearn_bell.pretraining._lfbt.LFBTPretrainer",
    "sklearn_bell.pretraining._simclr.SimCLRPretrainer",
    "sklearn_bell.vqvae._images.ImageVQVAETransformer",
    "sklearn_bell.vqvae._signals.VQVAETransformer",
)
