"""Load from tasks of a local cloud, made by hand as the product wires it."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipeline.adapters.clock import SystemClock
from pipeline.adapters.docker_engine import DockerBuilder, connect
from pipeline.adapters.ecs import EcsService
from pipeline.adapters.ecs_load import EcsLoad
from pipeline.adapters.load_image import Contents, LoadImage
from pipeline.adapters.load_orders import Orders
from pipeline.adapters.load_tasks import LoadTasks
from pipeline.adapters.locust import Locust
from pipeline.adapters.process import Processes
from pipeline.adapters.registry import OciRegistry
from pipeline.local.base_images import BUILD, BaseImages
from pipeline.model.load_definition import LoadSize
from tests.releases import PYTHON
from tests.system.cloud_in_hand import APP, CloudInHand

FAMILY = f"{APP}-staging-load"


@dataclass
class TasksInHand:
    """Tasks that load the staging of a cloud with the project at `root`. `said` holds what was said to people."""

    cloud: CloudInHand
    root: Path
    said: list[str] = field(default_factory=list)

    def service(self) -> EcsService:
        cloud = self.cloud
        return EcsService(
            cloud.client("ecs"), cloud.client("logs"), f"{APP}-staging", APP, "app", SystemClock()
        )

    def image(self, locustfile: str = "journey.py", **more: Any) -> LoadImage:
        bases = BaseImages(self.cloud.engine, self.said.append)
        found = bases.ensure([PYTHON, PYTHON + BUILD])
        return LoadImage(
            contents=Contents(self.root, Path(locustfile), **more),
            repository=f"{self.cloud.endpoints.registry}/{APP}",
            platform="linux/amd64",
            bases=lambda: {"BUILD_IMAGE": found[PYTHON + BUILD], "RUNTIME_IMAGE": found[PYTHON]},
            builder=DockerBuilder(connect, Processes(), lambda: None),
            registry=OciRegistry(lambda: None, host=self.cloud.endpoints.registry),
        )

    def orders(self) -> Orders:
        clock = SystemClock()
        return Orders(
            lambda: {"url": self.cloud.endpoints.orders},
            lambda: clock.now().timestamp(),
            self.cloud.cloud.order,
        )

    def generator(self, count: int, *, image: LoadImage | None = None, **more: Any) -> EcsLoad:
        locust = Locust(sys.executable, SystemClock(), root=self.root, environ=os.environ)
        endpoints = self.cloud.endpoints
        inside = {url: endpoints.inside[name] for name, url in endpoints.urls.items()}
        return EcsLoad(
            tasks=LoadTasks(self.service(), FAMILY, lambda: LoadSize(512, 512), grace=3.0),
            count=count,
            image=(image or self.image()).ensure,
            orders=self.orders(),
            inside=lambda url: inside.get(url, url),
            checked=locust.check,
            clock=SystemClock(),
            **{"start_timeout": 60.0, **more},
        )

    def tasks(self) -> list[str]:
        """ARNs of tasks that load now."""
        found = self.cloud.client("ecs").list_tasks(cluster=f"{APP}-staging", family=FAMILY)
        return list(found["taskArns"])
