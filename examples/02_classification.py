# %% [markdown]
# # Classification: what a trained net says, and what goes on inside it
#
# A trained net is two files: a *deploy* net (images in, probabilities out) and its weights. Here LeNet is trained for
# a moment, then you use it: on a batch, on images of your own, through `Classifier`; and you look at what its layers
# see.
#
# With a net from the model zoo, such as CaffeNet, the lines are the same; comments show what differs.

# %%
import matplotlib.pyplot as plt
import numpy as np
from lesson import ROOT, Lesson, mosaic, read, train_lenet
from PIL import Image, ImageDraw

import caffelite as caffe

lesson = Lesson("classification")
digits = lesson.digits()
caffe.set_mode_cpu()

model = str(ROOT / "models" / "mnist" / "lenet_deploy.prototxt")
weights = train_lenet(lesson, digits, lesson.steps(300, quick=80))
# CaffeNet: model, weights = "deploy.prototxt", "bvlc_reference_caffenet.caffemodel"

net = caffe.Net(model, caffe.TEST, weights=weights)  # TEST: no dropout, statistics fixed

# %% [markdown]
# ## 1. From an image to what the net takes
#
# `load_image` gives numbers from 0 to 1, height × width × channels. This net learned from channels × height × width,
# and from values of 0 to 255 times 1/256. A `Transformer` knows how to get from one to the other, and back.

# %%
transformer = caffe.io.Transformer({"data": net.blobs["data"].data.shape})
transformer.set_transpose("data", (2, 0, 1))  # H×W×K to K×H×W
transformer.set_raw_scale("data", 255)  # 0 … 1 to 0 … 255
transformer.set_input_scale("data", 1 / 256)
# CaffeNet learned from blue, green, red, less the mean of each, and without the last scale:
#   transformer.set_channel_swap("data", (2, 1, 0))
#   transformer.set_mean("data", np.load("ilsvrc_2012_mean.npy").mean(1).mean(1))

# %% [markdown]
# The test digits become image files, as if they came from a scanner.

# %%
images, labels = read(digits.test, 100)
files = []
for number, (image, label) in enumerate(zip(images[:50], labels, strict=False)):
    files.append(lesson.out / f"scan_{number:02}_is_{label}.png")
    Image.fromarray(image[0]).save(files[-1])

image = caffe.io.load_image(files[0], color=False)
print(f"{files[0].name}: {image.shape}, from {image.min():.2f} to {image.max():.2f}")
ready = transformer.preprocess("data", image)
print(f"for the net: {ready.shape}, from {ready.min():.2f} to {ready.max():.2f}")

# %% [markdown]
# ## 2. Classify
#
# Write images into the input blob, call `forward`, read the output. An input of another size takes the net along:
# here 50 images at once, of which all are the same one.

# %%
net.blobs["data"].reshape(50, 1, 28, 28)
net.blobs["data"].data[...] = ready
probabilities = net.forward()["prob"][0]

print(f"the net says {probabilities.argmax()}, the label is {labels[0]}")
for place in probabilities.argsort()[::-1][:5]:
    print(f"  {place}: {probabilities[place]:.4f}")

# %% [markdown]
# More than a batch? `forward_all` cuts it into batches.

# %%
many, truth = read(digits.test, 1000)
found = net.forward_all(data=many / np.float32(256))["prob"].argmax(1)
print(f"accuracy on {len(many)} test digits: {np.mean(found == truth):.4f}")

# %% [markdown]
# ## 3. How long does it take?
#
# A batch of 50 takes less than 50 times as long as one image: much of the work is shared. On a GPU the difference is
# larger still. (The first pass also sets up memory, so it is not counted.)


# %%
def milliseconds(net, repeats=10):
    net.forward()
    timer = caffe.Timer()
    timer.start()
    for _ in range(repeats):
        net.forward()
    timer.stop()
    return timer.ms / repeats


for batch in (1, 50):
    net.blobs["data"].reshape(batch, 1, 28, 28)
    net.reshape()
    took = milliseconds(net)
    print(f"CPU, batches of {batch:2}: {took:6.2f} ms, {took / batch:.3f} ms an image")
# On a GPU: caffe.set_device(0); caffe.set_mode_gpu(); then make the net anew, as a net stays where it was made.

# %% [markdown]
# ## 4. Inside
#
# `blobs` has what flows through the net, `params` what it learned.

# %%
net.blobs["data"].data[...] = ready
net.forward()
for name, blob in net.blobs.items():
    print(f"{name:6} {blob.data.shape}")
print()
for name, (weight, bias) in net.params.items():
    print(f"{name:6} {weight.data.shape} {bias.data.shape}")

# %% [markdown]
# The filters of the first layer, and what each makes of the digit: some answer to strokes of one direction, some to
# edges, some to the ground. In the second layer, after pooling, little is left that a person would recognize.

# %%
figure, axes = plt.subplots(2, 2, figsize=(9, 8))
sheets = {
    "the image": image[:, :, 0],
    "conv1: its 20 filters": mosaic(net.params["conv1"][0].data[:, 0], 5),
    "conv1: their answers": mosaic(net.blobs["conv1"].data[0], 5),
    "pool2: 50 maps": mosaic(net.blobs["pool2"].data[0], 10),
}
for ax, (title, sheet) in zip(axes.flat, sheets.items(), strict=True):
    ax.imshow(sheet)
    ax.set_title(title)
    ax.axis("off")
lesson.picture(figure, "inside")

# %% [markdown]
# Layers that are fully connected have no image left to show: 500 numbers, of which ReLU sets many to 0, and at the
# end ten probabilities.

# %%
figure, axes = plt.subplots(1, 3, figsize=(11, 3))
hidden = net.blobs["ip1"].data[0]
axes[0].plot(hidden, lw=0.7)
axes[0].set_title(f"ip1: {np.mean(hidden == 0):.0%} are 0")
axes[1].hist(hidden[hidden > 0], bins=40)
axes[1].set_title("ip1: those above 0")
axes[2].bar(range(10), net.blobs["prob"].data[0])
axes[2].set(title="prob", xticks=range(10), ylim=(0, 1))
lesson.picture(figure, "numbers")

# %% [markdown]
# ## 5. Images of your own
#
# Draw a digit with any program, save it as PNG, and put its path here. This one is drawn by the example: black on
# white, 120 × 90, a scan as people make them.

# %%
paper = Image.new("L", (90, 120), 255)
ImageDraw.Draw(paper).line([(22, 28), (68, 28), (40, 98)], fill=0, width=9, joint="curve")
paper.save(lesson.out / "my_seven.png")

mine = caffe.io.load_image(lesson.out / "my_seven.png", color=False)
print(f"my_seven.png: {mine.shape}")
net.blobs["data"].reshape(2, 1, 28, 28)
for place, version in enumerate((mine, 1 - mine)):
    net.blobs["data"].data[place] = transformer.preprocess("data", version)
both = net.forward()["prob"].copy()

# %% [markdown]
# `preprocess` scales any image to the net's size. It cannot know that the net learned from white digits on black: as
# it is, the image is nothing that the net has ever seen, and the answer means little, however sure it sounds. Turned
# around, it is a seven like others.

# %%
figure, axes = plt.subplots(2, 2, figsize=(6, 5))
for (left, right), place, what in zip(axes, (0, 1), ("as it is", "turned around"), strict=True):
    left.imshow(net.blobs["data"].data[place, 0], vmin=0, vmax=1)
    left.set(title=what, xticks=[], yticks=[])
    right.bar(range(10), both[place])
    right.set(xticks=range(10), ylim=(0, 1))
    print(f"my_seven.png {what}: {both[place].argmax()} ({both[place].max():.3f})")
lesson.picture(figure, "own_image")

# %% [markdown]
# ## 6. Classifier: all of it in one
#
# `Classifier` is a net with a transformer. `predict` takes images of any size. With `oversample` it cuts ten crops of
# each, the corners, the centre and their mirror images, and gives the mean of what the net says about them.
#
# For photographs this helps: a cat in the mirror is a cat. A digit in the mirror is none, so here it harms. What
# helps depends on what may change without changing the answer.

# %%
classifier = caffe.Classifier(model, weights, image_dims=(32, 32), raw_scale=255, input_scale=1 / 256)
scans = [caffe.io.load_image(file, color=False) for file in files]
for oversample in (False, True):
    found = classifier.predict(scans, oversample=oversample).argmax(1)
    print(f"oversample={oversample}: {np.sum(found == labels[: len(scans)])} of {len(scans)} right")

crops = caffe.io.oversample([caffe.io.resize_image(scans[1], (32, 32))], (28, 28))
figure, ax = plt.subplots(figsize=(7, 3))
ax.imshow(mosaic(crops[..., 0], 5))
ax.set_title("ten crops of one image")
ax.axis("off")
lesson.picture(figure, "crops")

# %% [markdown]
# The command line does the same: `caffelite classify` takes a deploy net, weights, and images or folders of them.
