"""The networks of the course, one file per paper.

Constructors are named as torchvision names them. They share these arguments: `num_classes` (1000;
LeNet and the CIFAR networks 10), `in_channels` (3; LeNet 1), and where they apply `variant`,
`dropout` and `weights`. `weights="imagenet"` loads the weights that torchvision publishes.
"""

from cnnlib.models.alexnet import AlexNet, alexnet
from cnnlib.models.autoencoder import (
    ConvAutoencoder,
    DenoisingAutoencoder,
    DenseAutoencoder,
    conv_autoencoder,
    corrupt,
    dense_autoencoder,
)
from cnnlib.models.cifar_resnet import (
    CifarResNet,
    cifar_plain20,
    cifar_plain32,
    cifar_plain44,
    cifar_plain56,
    cifar_plain110,
    cifar_resnet20,
    cifar_resnet32,
    cifar_resnet44,
    cifar_resnet56,
    cifar_resnet110,
)
from cnnlib.models.densenet import DenseNet, densenet121, densenet161, densenet169, densenet201
from cnnlib.models.googlenet import GoogLeNet, googlenet
from cnnlib.models.inception import InceptionV3, inception_v3
from cnnlib.models.lenet import LeNet5, lenet5
from cnnlib.models.mobilenet_v1 import MobileNetV1, mobilenet_v1
from cnnlib.models.mobilenet_v2 import MobileNetV2, mobilenet_v2
from cnnlib.models.mobilenet_v3 import MobileNetV3, mobilenet_v3_large, mobilenet_v3_small
from cnnlib.models.nasnet import NASNet, nasnet_mobile
from cnnlib.models.preact_resnet import (
    PreActResNet,
    preact_resnet18,
    preact_resnet34,
    preact_resnet50,
    preact_resnet101,
    preact_resnet152,
    preact_resnet200,
)
from cnnlib.models.resnet import ResNet, resnet18, resnet34, resnet50, resnet101, resnet152
from cnnlib.models.resnext import (
    resnext50_32x4d,
    resnext101_32x4d,
    resnext101_32x8d,
    resnext101_64x4d,
    wide_resnet50_2,
    wide_resnet101_2,
)
from cnnlib.models.shufflenet_v1 import ShuffleNetV1, shufflenet_v1
from cnnlib.models.shufflenet_v2 import (
    ShuffleNetV2,
    shufflenet_v2_x0_5,
    shufflenet_v2_x1_0,
    shufflenet_v2_x1_5,
    shufflenet_v2_x2_0,
)
from cnnlib.models.siamese import (
    SiameseNetwork,
    batch_hard_triplet_loss,
    contrastive_loss,
    triplet_loss,
)
from cnnlib.models.squeezenet import SqueezeNet, squeezenet1_0, squeezenet1_1
from cnnlib.models.unet import UNet, unet, unet_output_size
from cnnlib.models.vgg import (
    VGG,
    vgg11,
    vgg11_bn,
    vgg13,
    vgg13_bn,
    vgg16,
    vgg16_bn,
    vgg19,
    vgg19_bn,
)
from cnnlib.models.xception import Xception, xception
from cnnlib.models.zfnet import ZFNet, zfnet

__all__ = [
    "VGG",
    "AlexNet",
    "CifarResNet",
    "ConvAutoencoder",
    "DenoisingAutoencoder",
    "DenseAutoencoder",
    "DenseNet",
    "GoogLeNet",
    "InceptionV3",
    "LeNet5",
    "MobileNetV1",
    "MobileNetV2",
    "MobileNetV3",
    "NASNet",
    "PreActResNet",
    "ResNet",
    "ShuffleNetV1",
    "ShuffleNetV2",
    "SiameseNetwork",
    "SqueezeNet",
    "UNet",
    "Xception",
    "ZFNet",
    "alexnet",
    "batch_hard_triplet_loss",
    "cifar_plain20",
    "cifar_plain32",
    "cifar_plain44",
    "cifar_plain56",
    "cifar_plain110",
    "cifar_resnet20",
    "cifar_resnet32",
    "cifar_resnet44",
    "cifar_resnet56",
    "cifar_resnet110",
    "contrastive_loss",
    "conv_autoencoder",
    "corrupt",
    "dense_autoencoder",
    "densenet121",
    "densenet161",
    "densenet169",
    "densenet201",
    "googlenet",
    "inception_v3",
    "lenet5",
    "mobilenet_v1",
    "mobilenet_v2",
    "mobilenet_v3_large",
    "mobilenet_v3_small",
    "nasnet_mobile",
    "preact_resnet18",
    "preact_resnet34",
    "preact_resnet50",
    "preact_resnet101",
    "preact_resnet152",
    "preact_resnet200",
    "resnet18",
    "resnet34",
    "resnet50",
    "resnet101",
    "resnet152",
    "resnext50_32x4d",
    "resnext101_32x4d",
    "resnext101_32x8d",
    "resnext101_64x4d",
    "shufflenet_v1",
    "shufflenet_v2_x0_5",
    "shufflenet_v2_x1_0",
    "shufflenet_v2_x1_5",
    "shufflenet_v2_x2_0",
    "squeezenet1_0",
    "squeezenet1_1",
    "triplet_loss",
    "unet",
    "unet_output_size",
    "vgg11",
    "vgg11_bn",
    "vgg13",
    "vgg13_bn",
    "vgg16",
    "vgg16_bn",
    "vgg19",
    "vgg19_bn",
    "wide_resnet50_2",
    "wide_resnet101_2",
    "xception",
    "zfnet",
]
