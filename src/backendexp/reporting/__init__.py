"""What people read: tables, text, figures and HTML pages."""
