"""TensorFlow's operators that a SavedModel may compute: arithmetic on tensors, and nothing else."""

CALLS = {"PartitionedCall", "StatefulPartitionedCall"}
VARIABLES = {"VarHandleOp", "VariableV2", "Variable"}

_LAYERS = """
    AvgPool BatchMatMul BatchMatMulV2 BatchMatMulV3 BiasAdd BiasAddV1 Conv2D DepthwiseConv2dNative Einsum Elu
    FusedBatchNorm FusedBatchNormV2 FusedBatchNormV3 LeakyRelu LogSoftmax LRN MatMul MaxPool MaxPoolV2 Relu Relu6 Selu
    Sigmoid Softmax Softplus Softsign Tanh
"""
_ARITHMETIC = """
    Abs Add AddN AddV2 Ceil ClipByValue Div DivNoNan Erf Erfc Exp Expm1 Floor FloorDiv FloorMod Inv Log Log1p Maximum
    Minimum Mul Neg Pow RealDiv Reciprocal Rint Round Rsqrt Sign Sqrt Square SquaredDifference Sub
    All Any Max Mean Min Prod Sum
    Equal Greater GreaterEqual Less LessEqual LogicalAnd LogicalNot LogicalOr NotEqual Select SelectV2
"""
_SHAPES = """
    BatchToSpaceND BroadcastTo Cast Concat ConcatV2 DepthToSpace ExpandDims Fill Gather GatherNd GatherV2 MirrorPad
    OnesLike Pack Pad PadV2 Range Rank Reshape ResizeArea ResizeBicubic ResizeBilinear ResizeNearestNeighbor ReverseV2
    Shape ShapeN Size Slice SpaceToBatchND SpaceToDepth Split SplitV Squeeze StridedSlice Tile Transpose Unpack
    ZerosLike
"""
_GRAPH = """
    Const DisableCopyOnRead EnsureShape Identity IdentityN NoOp Placeholder PlaceholderWithDefault PreventGradient
    ReadVariableOp Snapshot StopGradient
"""

ALLOWED = frozenset({*f"{_LAYERS} {_ARITHMETIC} {_SHAPES} {_GRAPH}".split(), *CALLS, *VARIABLES})

NEVER = frozenset(
    {
        "EagerPyFunc",
        "MatchingFiles",
        "PyFunc",
        "PyFuncStateless",
        "ReadFile",
        "WriteFile",
        "WholeFileReaderV2",
    }
)
"""Operators with which a file is refused even where no answer needs them."""
