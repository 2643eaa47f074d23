"""Two endpoints, asked by a visitor who hardly waits."""

from locust import FastHttpUser, constant, task


class Visitor(FastHttpUser):
    wait_time = constant(0.02)

    @task(2)
    def owners(self) -> None:
        self.client.get("/api/owners", name="GET /api/owners")

    @task(1)
    def vets(self) -> None:
        self.client.get("/api/vets")
