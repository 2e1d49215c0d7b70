# %% [markdown]
# # Net surgery: weights are arrays
#
# What a net has learned lies in `net.params`, and arrays can be read, changed and transplanted. First you write
# filters by hand. Then you turn LeNet, which looks at one digit of 28×28, into a net that looks everywhere in an
# image of any size, without teaching it anything.

# %%
import matplotlib.pyplot as plt
import numpy as np
from lesson import ROOT, Lesson, read, train_lenet

import caffelite as caffe
from caffelite import layers as L
from caffelite import params as P

lesson = Lesson("net_surgery")
digits = lesson.digits()
images, labels = read(digits.test, 200)
caffe.set_mode_cpu()
caffe.set_random_seed(1)

# %% [markdown]
# ## 1. Filters by hand
#
# A net of one layer: three filters of 5×5. Its input takes the size of what is put into it.

# %%
n = caffe.NetSpec()
n.data = L.Input(shape=dict(dim=[1, 1, 28, 28]))
n.conv = L.Convolution(n.data, num_output=3, kernel_size=5, weight_filler=dict(type="gaussian", std=0.1))
net = caffe.Net(lesson.write("filters.prototxt", n.to_proto()), caffe.TEST)
print(f"blobs {list(net.blobs)}, params {list(net.params)}")

page = np.block([[images[row * 4 + column, 0] for column in range(4)] for row in range(2)]) / 255
net.blobs["data"].reshape(1, 1, *page.shape)
net.blobs["data"].data[0, 0] = page


# %% [markdown]
# The first weights are chance, and what comes out looks a little like edges, a little like nothing.


# %%
def show_answers(net, name, titles):
    net.forward()
    answers = net.blobs["conv"].data[0]
    figure, axes = plt.subplots(2, 2, figsize=(8, 4.6))
    axes[0, 0].imshow(page)
    axes[0, 0].set_title("the image")
    for ax, answer, title in zip(axes.flat[1:], answers, titles, strict=True):
        ax.imshow(answer)
        ax.set_title(title)
    for ax in axes.flat:
        ax.axis("off")
    lesson.picture(figure, name)


show_answers(net, "chance", [f"filter {number}" for number in range(3)])

# %% [markdown]
# A bias is added everywhere. `answer` below is no copy: it is the blob's own memory, so it changes with the next
# forward.

# %%
answer = net.blobs["conv"].data[0, 0]
before = answer.mean()
net.params["conv"][1].data[0] = 1
net.forward()
print(f"a bias of 1 raises the mean answer by {answer.mean() - before:.6f}")

# %% [markdown]
# And weights can be anything: a bell curve blurs, and Sobel's operator answers to edges, horizontal or vertical.

# %%
weights, biases = (blob.data for blob in net.params["conv"])
y, x = np.mgrid[-2:3, -2:3]
bell = np.exp(-(x**2 + y**2) / 2)
sobel = np.array([[-1, -2, -1], [0, 0, 0], [1, 2, 1]])
weights[...], biases[...] = 0, 0
weights[0, 0] = bell / bell.sum()
weights[1, 0, 1:4, 1:4] = sobel
weights[2, 0, 1:4, 1:4] = sobel.T
show_answers(net, "by_hand", ["blurred", "horizontal edges", "vertical edges"])

height, width = net.blobs["conv"].data.shape[2:]
by_hand = sum(weights[0, 0, i, j] * page[i : i + height, j : j + width] for i in range(5) for j in range(5))
print(f"largest difference from NumPy's blur: {abs(net.blobs['conv'].data[0, 0] - by_hand).max():.1e}")

# %% [markdown]
# ## 2. From one answer to a map of answers
#
# LeNet ends in fully connected layers, and these fix the size of the image: *ip1* multiplies 50 maps of 4×4, 800
# numbers. But a product with 50×4×4 weights is what a convolution of kernel 4×4 computes at one place! Written as a
# convolution, the layer accepts larger maps, and gives an answer at each place: what the old net would say about the
# 28×28 pixels there. Convolutions share the work where these windows overlap.
#
# The two layers get new names, so that the old weights, which have another shape, are not put into them.


# %%
def lenet_everywhere(height, width, pad=0):
    n = caffe.NetSpec()
    n.data = L.Input(shape=dict(dim=[1, 1, height, width]))
    n.conv1 = L.Convolution(n.data, kernel_size=5, num_output=20, pad=pad)
    n.pool1 = L.Pooling(n.conv1, kernel_size=2, stride=2, pool=P.Pooling.MAX)
    n.conv2 = L.Convolution(n.pool1, kernel_size=5, num_output=50)
    n.pool2 = L.Pooling(n.conv2, kernel_size=2, stride=2, pool=P.Pooling.MAX)
    n["ip1-conv"] = L.Convolution(n.pool2, kernel_size=4, num_output=500)
    n.relu1 = L.ReLU(n["ip1-conv"], in_place=True)
    n["ip2-conv"] = L.Convolution(n.relu1, kernel_size=1, num_output=10)
    n.prob = L.Softmax(n["ip2-conv"])
    return n


learned = train_lenet(lesson, digits, lesson.steps(300, quick=80))
lenet = caffe.Net(str(ROOT / "models" / "mnist" / "lenet_deploy.prototxt"), caffe.TEST, weights=learned)
everywhere = caffe.Net(
    lesson.write("lenet_everywhere.prototxt", lenet_everywhere(64, 160).to_proto()), caffe.TEST, weights=learned
)
for name in ("ip1", "ip2"):
    shapes = [net.params[layer][0].data.shape for net, layer in ((lenet, name), (everywhere, f"{name}-conv"))]
    print(f"{name}: {shapes[0]} becomes {shapes[1]}")

# %% [markdown]
# The numbers are the same, in the same order: only the shape differs. `flat` passes over it.

# %%
for name in ("ip1", "ip2"):
    for old, new in zip(lenet.params[name], everywhere.params[f"{name}-conv"], strict=True):
        new.data.flat = old.data.flat
everywhere.save(str(lesson.out / "lenet_everywhere.caffemodel"))

# %% [markdown]
# ## 3. A page of digits
#
# Digits strewn over a page. The map has an answer every 4 pixels, as two poolings of stride 2 lie between page and
# map.

# %%
chance = np.random.default_rng(3)
page, placed = np.zeros((64, 160), np.float32), []
for column in range(5):
    number = chance.integers(len(images))
    top, left = chance.integers(0, 9) * 4, column * 32 + chance.integers(0, 2) * 4
    page[top : top + 28, left : left + 28] = images[number, 0] / 256
    placed.append((top, left, int(labels[number])))

prob = everywhere.forward(data=page[np.newaxis, np.newaxis])["prob"][0]
print(f"page {page.shape}, map {prob.shape}: a place of the map is 4 pixels")

# %% [markdown]
# Is it the same net? Each place of the map against the old net on the window it stands for:

# %%
places = [(row, column) for row in range(prob.shape[1]) for column in range(prob.shape[2])]
windows = np.stack([page[np.newaxis, 4 * row : 4 * row + 28, 4 * column : 4 * column + 28] for row, column in places])
one_by_one = lenet.forward_all(data=windows)["prob"]
difference = abs(one_by_one - np.stack([prob[:, row, column] for row, column in places])).max()
print(f"{len(places)} windows, largest difference of a probability: {difference:.1e}")

right = 0
for top, left, label in placed:
    says = prob[:, top // 4, left // 4]
    right += says.argmax() == label
    print(f"at ({top:2}, {left:3}) lies a {label}: the map says {says.argmax()} ({says.max():.3f})")
print(f"{right} of {len(placed)} digits right")

# %% [markdown]
# ## 4. The map over the page
#
# A place of the map stands for a window, and its middle is 14 pixels further down and to the right. To lay the map
# over the page, a net can do it itself, as nets for segmentation do: pad the page so that windows may hang over its
# edge, blow the map of scores up by 4 (`Deconvolution` that interpolates), and cut out what lies over the page. How
# much to cut, `coord_map` works out from kernels, strides and pads.

# %%
n = lenet_everywhere(64, 160, pad=16)
n.upscore = L.Deconvolution(
    n["ip2-conv"],
    convolution_param=dict(
        num_output=10, group=10, kernel_size=8, stride=4, bias_term=False, weight_filler=dict(type="bilinear")
    ),
)
n.score = caffe.coord_map.crop(n.upscore, n.data)
n.over_page = L.Softmax(n.score)
overlay = caffe.Net(
    lesson.write("lenet_overlay.prototxt", n.to_proto()),
    caffe.TEST,
    weights=str(lesson.out / "lenet_everywhere.caffemodel"),
)
over_page = overlay.forward(data=page[np.newaxis, np.newaxis])["over_page"][0]
offsets = [layer.crop_param.offset for layer in n.to_proto().layer if layer.type == "Crop"]
print(f"upscore {overlay.blobs['upscore'].data.shape[2:]}, cut at {list(offsets[0])}, over the page {over_page.shape}")

# %% [markdown]
# Where is the net sure of which digit? In the middle of digits it is right. But look between them: it learned from
# digits in the middle of their image and from nothing else, so half digits, two halves, and empty paper are told as
# digits, too. (A net that is to say "nothing here" has to learn it, from examples of nothing.)

# %%
figure, axes = plt.subplots(3, 1, figsize=(8, 9.5))
axes[0].imshow(page)
axes[0].set_title("the page")
axes[1].imshow(page)
shown = axes[1].imshow(over_page.argmax(0), alpha=over_page.max(0) ** 4 * 0.8, cmap="tab10", vmin=-0.5, vmax=9.5)
axes[1].set_title("what it says where, the fainter the less sure")
figure.colorbar(shown, ax=axes[:2], ticks=range(10))
sought = placed[0][2]
axes[2].imshow(page)
shown = axes[2].imshow(over_page[sought], alpha=0.6, cmap="inferno", vmin=0, vmax=1)
axes[2].set_title(f"probability of {sought}")
figure.colorbar(shown, ax=axes[2])
for ax in axes:
    ax.axis("off")
lesson.picture(figure, "map")

# %% [markdown]
# CaffeNet becomes such a net the same way: *fc6* takes 256 maps of 6×6, so *fc6-conv* has a kernel of 6; *fc7-conv*
# and *fc8-conv* have kernels of 1; one place of the map is 32 pixels.
