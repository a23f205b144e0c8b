"""Classes that a Keras configuration may name; nothing else is built."""


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


CONTAINERS = frozenset({"Functional", "Model", "Sequential"})

AUGMENTATION = _names(
    "AugMix AutoContrast CutMix Equalization MaxNumBoundingBoxes MixUp RandAugment RandomBrightness RandomColorDegeneration "
    "RandomColorJitter RandomContrast RandomElasticTransform RandomErasing RandomFlip RandomGaussianBlur "
    "RandomGrayscale RandomHeight RandomHue RandomInvert RandomPerspective RandomPosterization RandomRotation "
    "RandomSaturation RandomSharpness RandomShear RandomTranslation RandomWidth RandomZoom Solarization"
)
"""Layers that change training images and do nothing at inference; RandomCrop, which resizes then, is none."""

SEQUENCES = _names(
    "Embedding ReversibleEmbedding TextVectorization StringLookup IntegerLookup Hashing HashedCrossing CategoryEncoding "
    "MelSpectrogram STFTSpectrogram"
)
"""Layers whose input is text, tokens or sound."""

IMAGES_OUT = _names("Conv2DTranspose Convolution2DTranspose UpSampling2D Conv3DTranspose UpSampling3D")
"""Layers whose output is an image, so that a network that ends in one is no classifier."""

EXECUTABLE = _names("Lambda TFSMLayer TorchModuleWrapper JaxLayer FlaxLayer")
"""Layers that can run any code."""

TENSORFLOW_OPERATORS = _names("TFOpLambda TensorFlowOpLayer SlicingOpLambda")
"""Layers that Keras 2 makes of TensorFlow operators in a functional network; only `tf-keras` builds them."""

HARMLESS_OPERATORS = _names(
    "__operators__.add __operators__.getitem math.add math.subtract math.multiply math.divide math.truediv math.maximum "
    "math.minimum math.negative math.abs math.square math.sqrt math.rsqrt math.reduce_mean math.reduce_sum "
    "math.reduce_max cast clip_by_value concat compat.v1.transpose transpose reshape expand_dims squeeze nn.relu nn.relu6 "
    "nn.softmax nn.sigmoid math.sigmoid math.tanh identity stack split image.resize image.rgb_to_grayscale "
    "reverse nn.bias_add math.l2_normalize nn.l2_normalize linalg.matmul compat.v1.nn.avg_pool"
)
"""TensorFlow operators that compute and do nothing else."""

LAYERS = _names(
    "Activation ActivityRegularization AdaptiveAveragePooling2D AdaptiveMaxPooling2D Add AdditiveAttention AlphaDropout "
    "Attention Average AveragePooling1D AveragePooling2D AveragePooling3D AvgPool1D AvgPool2D AvgPool3D BatchNormalization "
    "BatchNormalizationV1 BatchNormalizationV2 SyncBatchNormalization Bidirectional CenterCrop Concatenate Conv1D "
    "Conv2D Conv3D ConvLSTM2D Convolution1D Convolution2D Convolution3D Cropping1D Cropping2D Dense Discretization DepthwiseConv1D "
    "DepthwiseConv2D Dot Dropout ELU EinsumDense Flatten GRU GRUCell GaussianDropout GaussianNoise "
    "GlobalAveragePooling1D GlobalAveragePooling2D GlobalAvgPool1D GlobalAvgPool2D GlobalMaxPool1D "
    "GlobalMaxPool2D GlobalMaxPooling1D GlobalMaxPooling2D GroupNormalization GroupQueryAttention Identity InputLayer "
    "LSTM LSTMCell LayerNormalization LeakyReLU Masking MaxPool1D MaxPool2D MaxPool3D MaxPooling1D MaxPooling2D "
    "MaxPooling3D Maximum Minimum MultiHeadAttention Multiply Normalization PReLU Permute RMSNormalization RNN RandomCrop "
    "ReLU RepeatVector Rescaling Reshape Resizing SeparableConv1D SeparableConv2D SeparableConvolution1D "
    "SeparableConvolution2D SimpleRNN SimpleRNNCell Softmax SpatialDropout1D SpatialDropout2D SpectralNormalization "
    "StackedRNNCells Subtract ThresholdedReLU TimeDistributed UnitNormalization UpSampling1D ZeroPadding1D "
    "ZeroPadding2D Conv1DTranspose"
)
"""Other layers that compute and do nothing else."""

ACTIVATIONS = _names(
    "celu elu exponential gelu glu hard_shrink hard_sigmoid hard_silu hard_swish hard_tanh leaky_relu linear log_sigmoid "
    "log_softmax mish relu relu6 selu sigmoid silu soft_shrink softmax softplus softsign sparse_plus sparse_sigmoid "
    "sparsemax squareplus swish tanh tanh_shrink threshold"
)

MARKERS = _names("__keras_tensor__ __numpy__ __tensor__ __tuple__ DTypePolicy DTypePolicyMap Policy function")
"""What else Keras marks with a class name."""

REGRESSION_LOSSES = _names(
    "mse mae mape msle huber log_cosh logcosh mean_squared_error mean_absolute_error mean_absolute_percentage_error "
    "mean_squared_logarithmic_error meansquarederror meanabsoluteerror huber_loss"
)
