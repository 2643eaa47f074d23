"""onedigest: one immutable image digest through build, integration, staging and prod, on recorded evidence."""

__version__ = "0.1.0"
