"""PetClinic: owners, their pets, the pets' visits, and the vets; a JSON API and plain HTML pages on PostgreSQL."""

NAME = "petclinic"
VERSION = "1.0.0"
