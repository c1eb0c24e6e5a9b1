"""Problems, plans and artifacts as text, JSON or annotations; renders, decides nothing."""
