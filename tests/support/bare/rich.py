"""Hide rich: test tools bring it along, users do not have it, and to import it takes 0.15 s."""

raise ImportError("attachfs does without")
