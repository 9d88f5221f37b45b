"""Batches of the pictures of all sources; unreadable ones are skipped and counted."""

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace

from data.images.io import ImageError, read_image, read_image_size
from data.loading.dataset import collate
from data.loading.framing import Framing
from data.loading.samplers import group_by_shape
from data.sources.find import Found, Sources
from data.sources.frame import Frame, Skipped
from data.sources.video import LiveStream, VideoFile
from utils.runtime.errors import UserError
from utils.structures.batch import Batch
from utils.structures.images import ImageArray, Sample

LOOK_AHEAD = 2
"""Batches of still pictures read ahead of the network."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameBatch:
    """Pictures of one network shape, and the batch made of them, in the same order."""

    frames: tuple[Frame, ...]
    batch: Batch


@dataclass(slots=True, kw_only=True)
class SourceBatches:
    """Iterates once over all sources: still pictures, then videos, then streams.

    Still pictures come in the batches that validation makes of them, so that they give its numbers;
    pictures of a video in their order; those of a stream one by one. `skipped` grows meanwhile.
    """

    sources: Sources
    framing: Framing
    batch_size: int
    threads: int
    """Threads that read still pictures."""
    depth: int | None = None
    """Bits that values of 16-bit pictures fill; None for those that each uses."""
    skipped: list[Skipped] = field(default_factory=list)

    def __iter__(self) -> Iterator[FrameBatch]:
        """Yield every batch once.

        Raises:
            UserError: a stream cannot be reached, or no more.
        """
        frames = self._still_frames()
        yield from self._still_batches(frames)
        next_id = len(self.sources.stills)
        for found in self.sources.videos:
            for batch in self._video(found, next_id):
                next_id += len(batch.frames)
                yield batch
        for found in self.sources.streams:
            stream = LiveStream(found)
            first = Frame(
                source=stream.shown,
                name=found.name,
                image_id=next_id,
                size=(0, 0),
                number=0,
                frame_rate=stream.frame_rate,
            )
            started_at = next_id
            for batch in self._moving(stream, first, batch_size=1):
                next_id += len(batch.frames)
                yield batch
            if next_id == started_at:
                self.skipped.append(Skipped(stream.shown, "opens but gives no picture"))

    def num_pictures(self) -> int | None:
        """Return the expected number of pictures, None for streams without an end."""
        if self.sources.streams:
            return None
        return len(self.sources.stills) + sum(map(_announced, self.sources.videos))

    def _still_frames(self) -> list[Frame]:
        """Return the still pictures whose headers can be read."""
        with ThreadPoolExecutor(self.threads) as pool:
            sizes = list(pool.map(_size_or_fault, self.sources.stills))
        frames = []
        for found, image_id, size in zip(
            self.sources.stills, self.sources.image_ids(), sizes, strict=True
        ):
            if isinstance(size, ImageError):
                self._skip(found.location, size)
            else:
                frame = Frame(
                    source=found.location,
                    name=found.name,
                    image_id=image_id,
                    size=size,
                    depth=self.depth,
                )
                frames.append(frame)
        return frames

    def _still_batches(self, frames: Sequence[Frame]) -> Iterator[FrameBatch]:
        shapes = [self.framing.letterbox(frame.size).shape for frame in frames]
        waiting: deque[tuple[list[Frame], list[Future[Sample]]]] = deque()
        pool = ThreadPoolExecutor(self.threads)
        try:
            for positions in group_by_shape(shapes, self.batch_size):
                group = [frames[position] for position in positions]
                waiting.append((group, [pool.submit(self._load, frame) for frame in group]))
                if len(waiting) > LOOK_AHEAD:
                    yield from self._collected(*waiting.popleft())
            while waiting:
                yield from self._collected(*waiting.popleft())
        finally:
            pool.shutdown(cancel_futures=True)

    def _load(self, frame: Frame) -> Sample:
        image = read_image(frame.source, frame.depth)
        if image.shape[:2] != frame.size:
            raise ImageError(f"{frame.source}: its header gives another size than it has")
        return self.framing.sample(image, frame.source, frame.image_id)

    def _collected(
        self, frames: Sequence[Frame], loading: Sequence[Future[Sample]]
    ) -> Iterator[FrameBatch]:
        """Yield the batch of all that could be loaded, nothing if that is none."""
        loaded = []
        for frame, future in zip(frames, loading, strict=True):
            try:
                loaded.append((frame, future.result()))
            except ImageError as fault:
                self._skip(frame.source, fault)
        if loaded:
            kept, samples = zip(*loaded, strict=True)
            yield FrameBatch(frames=kept, batch=collate(samples))

    def _video(self, found: Found, image_id: int) -> Iterator[FrameBatch]:
        try:
            video = VideoFile(found)
        except UserError as fault:
            self._skip(found.location, fault)
            return
        first = Frame(
            source=video.shown,
            name=found.name,
            image_id=image_id,
            size=(0, 0),
            number=0,
            frame_rate=video.frame_rate,
        )
        yield from self._moving(video, first, batch_size=self.batch_size)
        if video.num_missing:
            reason = f"{video.num_missing} of {video.num_frames} pictures cannot be decoded"
            self.skipped.append(Skipped(video.shown, reason, video.num_missing))

    def _moving(
        self, pictures: Iterable[ImageArray], first: Frame, *, batch_size: int
    ) -> Iterator[FrameBatch]:
        """Yield pictures in their order; a stream may change its size on the way."""
        group: list[Frame] = []
        for number, picture in enumerate(pictures):
            size = (picture.shape[0], picture.shape[1])
            if group and size != group[-1].size:
                yield self._kept(group)
                group = []
            frame = replace(first, size=size, number=number, pixels=picture)
            group.append(replace(frame, image_id=first.image_id + number))
            if len(group) == batch_size:
                yield self._kept(group)
                group = []
        if group:
            yield self._kept(group)

    def _kept(self, frames: Sequence[Frame]) -> FrameBatch:
        samples = [
            self.framing.sample(frame.image(), frame.source, frame.image_id) for frame in frames
        ]
        return FrameBatch(frames=tuple(frames), batch=collate(samples))

    def _skip(self, source: str, fault: UserError) -> None:
        self.skipped.append(Skipped(source, str(fault).removeprefix(f"{source}: ")))


def _size_or_fault(found: Found) -> tuple[int, int] | ImageError:
    try:
        return read_image_size(found.location)
    except ImageError as fault:
        return fault


def _announced(found: Found) -> int:
    try:
        return VideoFile(found).num_frames
    except UserError:
        return 0
