from django.db import models

from hosting.models.inventory import Site


class SiteOfLimit(models.Model):
    """The rows of accounts' `user_sites`, seen from the site, so that deleting one names what stands in the way."""

    site = models.ForeignKey(Site, models.PROTECT, db_index=False, related_name="+")

    class Meta:
        managed = False
        db_table = "user_sites"
        verbose_name = "limit of a person to this site"
        verbose_name_plural = "limits of people to this site"

    def __str__(self) -> str:
        return f"limit {self.pk} to site {self.site_id}"
